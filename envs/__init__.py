"""Vectorised environments behind one door."""
