"""One training loop, read from top to bottom."""
