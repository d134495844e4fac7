"""From a name to batches: sources, splits, augmentation and the pipeline."""
