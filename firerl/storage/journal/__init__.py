"""The journal: its tables, its chain of hashes, its copy."""
