"""One HTML file a run."""
