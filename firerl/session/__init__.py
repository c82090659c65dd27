"""A run from its start to its result: the loop, synchronous and asynchronous."""
