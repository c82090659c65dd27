"""Which worker trains in which process, from measured speeds."""
