"""What one process does with its learners."""
