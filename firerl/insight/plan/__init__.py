"""What a run will take and find, before it starts."""
