"""The API reference, docs/api.md, has every method, policy, architecture and public name."""

import pkgutil
import re

import pytest

import tf_metamixup as tmm
from tests.conformance.test_documents import ROOT

REGISTRIES = (tmm.methods.METHODS, tmm.policies.POLICIES, tmm.models.MODELS)
ENTRY = re.compile(r"^::: (\S+)\n((?: +\S.*\n)*)", re.M)


def entries():
    """(object, heading or None, members or None) of each entry of the page."""
    page = (ROOT / "docs" / "api.md").read_text()
    found = ENTRY.findall(page)
    assert page.count(":::") == len(found)
    for path, options in found:
        heading = re.search(r"\bheading: ([\w.]+)", options)
        members = re.search(r"\bmembers: \[([^]]*)\]", options)
        yield (
            pkgutil.resolve_name(path),
            heading and heading[1],
            members and re.findall(r"\w+", members[1]),
        )


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_everything_registered_is_on_the_page_under_its_name(registry):
    shown = {heading: found for found, heading, _ in entries()}
    for name in registry.names():
        maker = registry._makers[name]
        if maker.__module__.startswith("tf_metamixup."):
            assert shown.get(name) is maker, f"docs/api.md has no {registry.kind} {name}"


def test_every_public_name_is_on_the_page():
    shown = {heading: found for found, heading, _ in entries()}
    for name in tmm.__all__:
        assert shown.get(f"tmm.{name}") is getattr(tmm, name), name


def test_every_public_name_of_data_is_on_the_page():
    (members,) = (members for found, _, members in entries() if found is tmm.data)
    assert sorted(members) == sorted(tmm.data.__all__)


def test_every_listed_member_exists():
    for found, _, members in entries():
        for name in members or ():
            assert hasattr(found, name), f"{found} has no {name}"
