"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Formats a table, without a line break at its end.

    >>> print(table(("row", "error %"), [("beta", "5.00")]))
    | row | error % |
    | --- | --- |
    | beta | 5.00 |
    """
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
