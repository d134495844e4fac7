"""Whatever stands on the command line or in TF_CONFIG: a setting, or one clear error, and soon."""

import dataclasses
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.test_imports import PACKAGE
from tf_metamixup import cli, experiment, main, methods, models, policies
from tf_metamixup.config import Config
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution import strategy

FLAGS = sorted({field.name for field in dataclasses.fields(Config)})
REGISTRIES = {
    "method": methods.METHODS,
    "policy": policies.POLICIES,
    "architecture": models.MODELS,
}
NAMES = [name for registry in REGISTRIES.values() for name in registry.names()]
OPTIONS = [
    (flag, name, option)
    for flag, registry in REGISTRIES.items()
    for name in registry.names()
    for option in registry._options(name)
]

literals = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["True", "None", "'nested'", "()", "{}", "[1]", "-1", "1e999", "9" * 400, "f()"]
    ),
    st.text(max_size=8),
)
# Nearly right, so that more than the first check is reached.
set_one = st.builds(
    lambda place, literal: (place[0], f"{place[1]}({place[2]}={literal})"),
    st.sampled_from(OPTIONS),
    literals,
)
spelt = st.builds(
    lambda name, inside, end: f"{name}({', '.join(inside)}{end}",
    st.sampled_from(NAMES),
    st.lists(literals, max_size=3),
    st.sampled_from([")", "", "))", ")\n", ") + 1", ").x"]),
)
values = st.one_of(spelt, literals, st.sampled_from(NAMES), st.text(max_size=30))
known = st.one_of(set_one, st.tuples(st.sampled_from(FLAGS), values)).map(
    lambda pair: f"--{pair[0]}={pair[1]}"
)
arguments = st.lists(st.one_of(known, st.text(max_size=20).filter(lambda t: t != "--help")))
quick = settings(
    max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.filter_too_much]
)


@quick
@given(arguments)
def test_a_command_line_is_a_config_or_one_clear_error(argv):
    try:
        config = experiment.canonical(main.parse(["main", *argv]))
    except UserError as error:
        assert str(error)
    except SystemExit as ended:
        assert ended.code == cli.FINISHED  # an abbreviation of --help
    else:
        assert isinstance(config, Config)


@quick
@given(st.one_of(set_one, st.tuples(st.sampled_from(sorted(REGISTRIES)), values)))
def test_a_name_with_options_is_parsed_or_reported(pair):
    registry, text = REGISTRIES[pair[0]], pair[1]
    try:
        spec = registry.parse(text)
    except UserError as error:
        assert str(error)
    else:
        assert registry.parse(str(spec)) == spec


numbers = st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.none()
nested = st.recursive(
    numbers | st.sampled_from(["worker", "chief", "host:1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cluster", "task", "worker", "chief", "type", "index"]), inner
        )
    ),
)


@quick
@given(st.text() | nested.map(json.dumps))
def test_tf_config_is_a_job_or_reported(text):
    try:
        addresses, own = strategy._job(text)
    except UserError as error:
        assert "must look like" in str(error)
    else:
        assert len(addresses) <= 1 or addresses[own]


FORBIDDEN = re.compile(
    r"\b(pickle|marshal|shelve|dill|joblib)\b|(?<![\w.])(eval|exec)\(|allow_pickle=True|yaml\.load\("
)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_nothing_that_is_read_is_executed(path):
    text = re.sub(r'"""(.|\n)*?"""', "", path.read_text())
    assert not FORBIDDEN.search(text)
