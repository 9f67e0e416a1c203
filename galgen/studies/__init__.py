"""Downstream proofs, each a module with one command: ``python -m galgen.studies.freezing``."""
