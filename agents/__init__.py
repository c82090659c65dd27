"""Learners that come with firerl."""
