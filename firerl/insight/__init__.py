"""What can be said of a run before anybody pays for it: its cost, and whether its statistics can work."""
