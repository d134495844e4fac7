"""Shows the examples in docstrings, lines that begin with >>>, as code in the documentation."""

import re

from griffe import Extension

# A prompt, and what follows it up to an empty line.
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class DocstringExamples(Extension):
    """Puts a fence around each example; without it Markdown takes >>> for quotations."""

    def on_instance(self, *, obj, **kwargs):
        """Changes the docstring of a class, function or module; griffe calls it."""
        if obj.docstring:
            text = obj.docstring.value
            obj.docstring.value = EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text)
