"""Generated galaxies for other programs: as tables, as astropy's images, as data sets of PyTorch.

What `galgen.checkpoint.TrainedModel` gives by ``sample_ccd``, ``sample_table`` and ``stream``, and
sets of single galaxies for training something else on them.
"""

from galgen.generated.beside import MixedDataset, RealDataset, mixed
from galgen.generated.datasets import GeneratedDataset, GeneratedStream
from galgen.generated.drawing import Drawing, Galaxies

__all__ = [
    "Drawing",
    "Galaxies",
    "GeneratedDataset",
    "GeneratedStream",
    "MixedDataset",
    "RealDataset",
    "mixed",
]
