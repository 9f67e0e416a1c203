"""Non-parametric morphology of galaxies in batched torch: Gini, M20, C, A, S, radii and shape."""

from galgen.measure.morphology.core import QUANTITIES, measure_morphology

__all__ = ["QUANTITIES", "measure_morphology"]
