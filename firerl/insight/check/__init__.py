"""The contract of a learner, tried on one."""
