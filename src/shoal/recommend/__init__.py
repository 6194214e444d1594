"""Models that score the catalogue for a user's past, and their blend."""
