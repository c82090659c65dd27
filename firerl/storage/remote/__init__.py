"""Run folders at an address: objects instead of files, and no rename."""
