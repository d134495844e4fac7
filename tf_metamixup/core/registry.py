"""Names to things: `make("wrn(depth=16, width=2)")`, with literals only and nothing executed."""

import ast
import contextlib
import importlib
import inspect
import math
import pkgutil
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tf_metamixup.core.errors import UserError, require
from tf_metamixup.core.suggestions import did_you_mean


class Spec(NamedTuple):
    """Holds a parsed `name(option=value, ...)`; `str()` gives its canonical text."""

    name: str
    options: dict[str, Any]

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in sorted(self.options.items()))
        return f"{self.name}({options})" if options else self.name


class Registry:
    """Maps names to things of one kind (methods, policies, architectures).

    A thing is a callable. Its parameters with a default are its options, which a user may set;
    parameters without one are context that the caller of `make` passes.
    """

    def __init__(
        self,
        kind: str,
        aliases: Mapping[str, str] | None = None,
        removed: Mapping[str, str] | None = None,
    ):
        """Makes an empty registry.

        Args:
            kind: what the things are called in messages.
            aliases: what to write instead of names from elsewhere, see `suggest`.
            removed: what to write instead of what older versions had, by `name` or `name.option`.
        """
        self.kind = kind
        self._aliases = aliases or {}
        self._removed = removed or {}
        self._makers: dict[str, Callable[..., Any]] = {}

    def register(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Registers the decorated callable as `name`.

        >>> shades = Registry("shade")
        >>> @shades.register("grey")
        ... def grey(value: float = 0.5) -> float:
        ...     return value
        >>> shades.names(), shades.make("grey(0.25)")
        (['grey'], 0.25)
        """

        def decorate(maker):
            known = self._makers.get(name, maker)
            # A cell of a notebook may be run again.
            if (known.__module__, known.__qualname__) != (maker.__module__, maker.__qualname__):
                raise RuntimeError(f"{self.kind} {name!r} is registered twice")
            if not name.isidentifier():
                raise RuntimeError(f"{self.kind} {name!r}: a name is letters, digits and _")
            self._makers[name] = maker
            return maker

        return decorate

    def names(self) -> list[str]:
        """Returns all known names, sorted."""
        return sorted(self._makers)

    def parse(self, text: str) -> Spec:
        """Reads `name`, `name(value)` (the first option) or `name(option=value, ...)`.

        Options that equal their default are left out, so that equal things have equal specs.
        """
        name, positional, options = self._syntax(text)
        for spelling in (name, *(f"{name}.{option}" for option in options)):
            if spelling in self._removed:
                raise UserError(
                    f"{self.kind} {text!r}: {spelling.rpartition('.')[2]} was removed in version "
                    f"0.3 (docs/results.md); {self._removed[spelling]}"
                )
        if name not in self._makers:
            raise UserError(
                f"unknown {self.kind} {name!r}{self._meant(name)}; "
                f"known: {', '.join(self.names()) or 'none'}"
            )
        known = self._options(name)
        if positional:
            if len(positional) > 1 or not known:
                raise UserError(
                    f"{self.kind} {text!r}: write options as option=value; {self._describe(known)}"
                )
            first = next(iter(known))
            if first in options:
                raise UserError(f"{self.kind} {text!r} gives {first!r} twice")
            options = {first: positional[0], **options}
        for option, value in options.items():
            if option not in known:
                raise UserError(
                    f"{self.kind} {name!r} has no option {option!r}{did_you_mean(option, known)}; "
                    f"{self._describe(known)}"
                )
            options[option] = self._typed(name, known[option], value)
        return Spec(name, {k: v for k, v in options.items() if v != known[k].default})

    def make(self, text: str, *context: Any) -> Any:
        """Makes what `text` describes; `context` fills the parameters that have no default.

        >>> import tf_metamixup as tmm
        >>> tmm.policies.make("beta(0.5)")
        Beta(alpha=0.5, per_sample=False)
        >>> tmm.methods.make("mean_teacher(decay=0.99)").decay
        0.99
        """
        name, options = self.parse(text)
        return self._makers[name](*context, **options)

    def of(self, thing: Any, base: type) -> Any:
        """Returns the thing of a name with options, or the one that is given.

        Raises:
            UserError: it is neither a name nor a `base`; it has no `__repr__`, as dataclasses have,
                to be recorded by.
        """
        thing = self.make(thing) if isinstance(thing, str) else thing
        is_one = isinstance(thing, base) and type(thing).__repr__ is not object.__repr__
        allowed = f"be a name or a {base.__name__} that is a dataclass"
        require(is_one, f"{self.kind}={thing!r}", allowed)
        return thing

    def _syntax(self, text: str) -> tuple[str, list[Any], dict[str, Any]]:
        head = text.partition("(")[0]
        meant = "" if head.strip() in self._makers else self._meant(head)
        wanted = (
            f"cannot read the {self.kind} {text!r}{meant}; write name or name(option=value, ...)"
        )
        try:
            node = ast.parse(text.strip(), mode="eval").body
            if isinstance(node, ast.Name):
                return node.id, [], {}
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                raise UserError(wanted)
            options = {}
            for keyword in node.keywords:
                if keyword.arg is None or keyword.arg in options:
                    raise UserError(wanted)
                options[keyword.arg] = self._literal(keyword.value, text)
            return node.func.id, [self._literal(value, text) for value in node.args], options
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(wanted) from error

    def _literal(self, node: ast.expr, text: str) -> Any:
        if isinstance(node, ast.Name):
            right = node.id.capitalize()
            right = right if right in ("True", "False", "None") else repr(node.id)
            raise UserError(f"cannot read the {self.kind} {text!r}: write {right}, not {node.id}")
        return ast.literal_eval(node)

    def _meant(self, name: str) -> str:
        return did_you_mean(name, self._makers, self._aliases)

    def _options(self, name: str) -> dict[str, inspect.Parameter]:
        maker = self._makers[name]
        try:
            signature = inspect.signature(maker, eval_str=True)
        except Exception:  # an annotation names what is imported for type checkers alone, say
            signature = inspect.signature(maker)
        return {p.name: p for p in signature.parameters.values() if p.default is not p.empty}

    def _describe(self, known: dict[str, inspect.Parameter]) -> str:
        if not known:
            return "it has no options"
        return "its options: " + ", ".join(f"{p.name}={p.default!r}" for p in known.values())

    def _typed(self, name: str, parameter: inspect.Parameter, value: Any) -> Any:
        annotation = parameter.annotation
        if annotation is parameter.empty or isinstance(annotation, str):
            if parameter.default is None:
                return value
            annotation = type(parameter.default)
        allowed = typing.get_args(annotation) or (annotation,)
        if type(value) is int and float in allowed and int not in allowed:
            with contextlib.suppress(OverflowError):
                value = float(value)
        if type(value) not in allowed or (isinstance(value, float) and not math.isfinite(value)):
            kinds = " or ".join(getattr(kind, "__name__", str(kind)) for kind in allowed)
            raise UserError(
                f"{self.kind} {name!r}: option {parameter.name}={value!r} must be a finite {kinds}"
                if float in allowed
                else f"{self.kind} {name!r}: option {parameter.name}={value!r} must be {kinds}"
            )
        return value


def discover(package: str, path: list[str]) -> None:
    """Imports every module of `package` (its `__path__`), so that each registers what it holds."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
