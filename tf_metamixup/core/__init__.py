"""What everything else builds on: errors, registries, random numbers, clocks, metrics, signals."""
