"""Runs beside each other, at equal steps."""
