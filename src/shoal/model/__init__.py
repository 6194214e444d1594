"""The attention tower, its heads, and the rater."""
