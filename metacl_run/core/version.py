"""The version of the package. It enters run ids: another version is another run."""

__version__ = "0.7.0"
