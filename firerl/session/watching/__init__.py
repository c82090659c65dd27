"""Who follows a run while it goes on: the terminal, and loggers behind a guard."""
