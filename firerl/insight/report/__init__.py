"""A run as one page: what it shows, how it is drawn, what it says."""
