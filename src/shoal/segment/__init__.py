"""Users are grouped, described and named."""
