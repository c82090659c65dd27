"""A run in virtual time: the engine, and a learner that trains nothing."""
