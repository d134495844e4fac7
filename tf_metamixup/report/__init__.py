"""Tables of finished runs with the paper's numbers, and comparisons paired by seed."""
