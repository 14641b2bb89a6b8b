"""metacl_run: a config-driven experiment runner for meta-learning and continual learning in PyTorch."""

from metacl_run.core.version import __version__ as __version__
