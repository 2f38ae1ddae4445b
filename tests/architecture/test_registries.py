"""A registry, the files beside it and its reference page list the same variants; knows no variant by name."""

import importlib
import re
import shutil

import pytest
import yaml
from house_rules import ROOT
from write_reference import FOLDER, REGISTRIES, pages

from gateway.kind import Config, Kind
from gateway.settings.schema import meanings

NAMES = [registry.page for registry in REGISTRIES]


def listed(text: str) -> set[str]:
    """The variants that have a section on a page."""
    return set(re.findall(r"^## (\S+)$", text, re.MULTILINE))


def files(folder) -> set[str]:
    """The modules in the folder of a registry."""
    return {file.stem for file in folder.glob("*.py")} - {"__init__"}


@pytest.fixture(params=REGISTRIES, ids=NAMES)
def registry(request):
    """Each registry of the product."""
    return request.param


def test_registry_files_and_page_agree(registry):
    """A variant is a file, a line and a section: a missing one of the three fails here."""
    kinds = set(registry.kinds)
    assert files(ROOT / registry.folder) == kinds
    assert listed((FOLDER / registry.page).read_text()) == kinds


def test_a_variant_without_its_line_or_section_is_found(tmp_path):
    """The comparison above can fail: a file too many and a section too few are seen."""
    folder = tmp_path / "injectors"
    shutil.copytree(ROOT / "gateway/credentials/injectors", folder)
    (folder / "smuggled.py").write_text("")
    assert files(folder) - set(REGISTRIES[0].kinds) == {"smuggled"}
    page = pages()["injectors.md"]
    assert listed(page.replace("## header\n", "")) == set(REGISTRIES[0].kinds) - {"header"}


def test_each_registry_is_one_literal_mapping(registry):
    """No decorator and no import side effect registers anything: the mapping stands in the folder's `__init__.py`."""
    package = importlib.import_module(registry.folder.replace("/", "."))
    literal = [name for name in vars(package) if getattr(package, name) is registry.kinds]
    assert len(literal) == 1
    assert re.search(rf"^{literal[0]}\b.*= {{$", (ROOT / registry.folder / "__init__.py").read_text(), re.MULTILINE)


@pytest.mark.interpreted("a compiled module has no docstring")
def test_each_variant_says_what_it_needs_and_trusts(registry):
    """Each has a configuration that refuses unknown keys, a posture, a YAML example that can be read, and four parts."""
    for name, kind in registry.kinds.items():
        assert isinstance(kind, Kind)
        assert issubclass(kind.config, Config)
        assert kind.config.model_config["extra"] == "forbid"
        assert kind.posture
        module = importlib.import_module(f"{registry.folder.replace('/', '.')}.{name}")
        assert (module.Config, module.build) == (kind.config, kind.build)
        _, blank, example = (module.__doc__ or "").partition("\n\n")
        assert blank
        assert yaml.safe_load(example)
        assert {name for name, meaning in meanings(kind.config) if meaning} == kind.config.model_fields.keys()


@pytest.mark.interpreted("a compiled module has no docstring")
@pytest.mark.parametrize("name", sorted(pages()))
def test_the_page_is_the_one_that_the_code_would_write(name):
    """Whoever changes the code changes its page, by `make docs`."""
    assert (FOLDER / name).read_text() == pages()[name], "renew it: make docs"
