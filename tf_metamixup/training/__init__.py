"""Training: the step of Algorithms 1 and 2, its graphs, the Trainer and the loop."""
