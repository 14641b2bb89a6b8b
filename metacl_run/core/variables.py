"""Environment variables by which processes of this package speak to each other."""

PLACE_ON_GPU = "METACL_PLACE_ON_GPU"
"""Numbers the jobs of sweeps that share a card, from 0."""
