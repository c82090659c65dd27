"""Loggers that come with firerl; anybody's own is found by dotted path."""
