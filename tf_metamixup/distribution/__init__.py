"""Replicas and workers: the strategy, rendezvous of workers, and sums over replicas."""
