"""Environments saved in the middle of an episode, and made again in another process."""
