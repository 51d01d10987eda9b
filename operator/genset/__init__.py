"""genset: models in the house, a cloud behind them, and a router that keeps the work going when either fails."""

__version__ = "0.2.0.dev0"
