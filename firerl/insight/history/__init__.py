"""What happened in a run, put together from its journal."""
