"""A run in sentences, and every verdict with its numbers."""
