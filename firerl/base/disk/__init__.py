"""Files that a crash cannot halve, and files of others that are not to be trusted."""
