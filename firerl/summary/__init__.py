"""A run in figures and words, as the terminal, the pages and the loggers show them."""
