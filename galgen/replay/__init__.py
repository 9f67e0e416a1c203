"""A file of a generated galaxy, drawn anew from what its own header says."""

from galgen.replay.comparing import TOLERANCE, Replayed
from galgen.replay.job import replay

__all__ = ["TOLERANCE", "Replayed", "replay"]
