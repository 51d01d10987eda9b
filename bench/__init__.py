"""Benchmarks: `python -m bench router` (the data plane beside its peers) and `python -m bench operator`."""
