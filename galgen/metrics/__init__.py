"""Judging sets of galaxies: one idea a file, pure functions mirrored by torchmetrics classes.

Import from the modules (``from galgen.metrics.frechet import FrechetDistance``); this file
stays empty so that a reader of one idea does not pay for the others.
"""
