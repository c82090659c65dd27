"""Runs that go on: what is there, and how one ends."""
