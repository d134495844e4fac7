"""What a training step costs, and what it finds."""
