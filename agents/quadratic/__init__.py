"""The noisy quadratic model: a learner that takes milliseconds."""
