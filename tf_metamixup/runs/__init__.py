"""What a run writes and reads: its directory, checkpoints, history, TensorBoard and results."""
