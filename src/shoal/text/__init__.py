"""Tables become language sequences within a token budget."""
