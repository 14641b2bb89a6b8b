"""metacl_run: a config-driven experiment runner for meta-learning and continual learning in PyTorch."""

__version__ = "0.3.0"
