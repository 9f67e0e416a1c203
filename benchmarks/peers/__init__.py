"""The other side of ``benchmarks/peers.py``: other people's packages, plain forms of papers."""
