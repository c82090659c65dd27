"""What lies on disk: checkpoints, the journal's file, whole files, and reading those that nobody vouches for."""
