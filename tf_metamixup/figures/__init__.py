"""The paper's figures from finished runs: one file a figure.

Each has `draw`, from plain arrays to a `matplotlib` Figure, and `figure`, from runs to the same.
"""
