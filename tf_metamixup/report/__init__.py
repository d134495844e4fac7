"""Tables of finished runs beside the paper's, and comparisons paired by seed."""
