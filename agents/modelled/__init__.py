"""A learner that trains nothing: its objective follows a stated model."""
