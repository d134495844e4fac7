"""Progress bars."""

import sys

import tqdm


class Bar(tqdm.tqdm):
    """Represents a bar as wide as its terminal; in a log that is none, each refresh is a line."""

    def __init__(self, *args, **options):
        seconds = 0.5 if sys.stderr.isatty() else 10
        super().__init__(*args, mininterval=seconds, dynamic_ncols=True, **options)
