"""A language model learns a task."""
