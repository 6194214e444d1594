"""Shoal: named user segments, rating predictions and recommendations, with a language model at the core."""

__version__ = "0.1.0"
