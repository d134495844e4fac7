"""How often a progress bar is drawn."""

import sys


def interval() -> float:
    """Returns seconds between two refreshes: each is a line of a log that is no terminal."""
    return 0.5 if sys.stderr.isatty() else 10
