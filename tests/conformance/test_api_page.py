"""The API reference, docs/api.md, has every method, policy, architecture and public name."""

import pkgutil
import re

import pytest
import yaml

import tf_metamixup as tmm
from tests.conformance.test_documents import ROOT

REGISTRIES = (tmm.methods.METHODS, tmm.policies.POLICIES, tmm.models.MODELS)
ENTRY = re.compile(r"^::: (\S+)\n((?: +\S.*\n)*)", re.M)


def entries():
    """(object, options of mkdocstrings) of each entry of the page."""
    page = (ROOT / "docs" / "api.md").read_text()
    assert page.count(":::") == len(ENTRY.findall(page))
    return [
        (pkgutil.resolve_name(path), yaml.safe_load(options)["options"])
        for path, options in ENTRY.findall(page)
    ]


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_everything_registered_is_on_the_page_under_its_name(registry):
    shown = {options.get("heading"): found for found, options in entries()}
    for name in registry.names():
        maker = registry._makers[name]
        if maker.__module__.startswith("tf_metamixup."):
            assert shown.get(name) is maker, f"docs/api.md has no {registry.kind} {name}"


def test_every_public_name_is_on_the_page():
    shown = {options["heading"]: found for found, options in entries() if "heading" in options}
    for name in tmm.__all__:
        assert shown.get(f"tmm.{name}") is getattr(tmm, name), name


def test_every_public_name_of_data_is_on_the_page():
    (options,) = (options for found, options in entries() if found is tmm.data)
    assert sorted(options["members"]) == sorted(tmm.data.__all__)


def test_every_listed_member_exists():
    for found, options in entries():
        for name in options.get("members", []):
            assert hasattr(found, name), f"{found} has no {name}"
