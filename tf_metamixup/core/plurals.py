"""Numbers with their nouns, for messages."""


def counted(count: int, what: str) -> str:
    """Returns a number and its noun, in the plural but for 1.

    >>> counted(1, "step"), counted(2000, "step")
    ('1 step', '2,000 steps')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"
