"""What the page of ``firerl watch`` tells of many runs: plain data, and the files of the page."""
