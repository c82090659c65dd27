"""Who is told of a run besides the person at the terminal: TensorBoard, Weights & Biases, anybody's own."""
