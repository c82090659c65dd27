"""Images in folders: listed, read, decoded."""
