"""The decision core: what a population is and how it evolves, as pure functions on plain data."""
