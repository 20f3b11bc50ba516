"""The structure of the package: which packages import which, and the sizes of files."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "flax_vision"
LAYERS = (
    {"__main__"},
    {"cli"},
    {"papers"},
    {"analysis"},
    {"training"},
    {"evaluation"},
    {"weights"},
    {"models", "data"},
    {"ops"},
    {"runtime"},
    {"errors", "text"},
)
"""The packages from top to bottom; each imports only itself and packages of lower layers."""
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
MAX_TOP_ENTRIES = 12
"""Without files such as `__init__.py`."""
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
DATA_TABLES: frozenset[str] = frozenset({"flax_vision/training/config_keys.py"})
"""Paths of files that may be longer, because they are tables of data."""
SOURCES = [
    path
    for folder in ("flax_vision", "configs", "tests", "benchmarks", "examples")
    for suffix in ("py", "cc", "h")
    for path in sorted((ROOT / folder).rglob(f"*.{suffix}"))
]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCES
    if path.is_relative_to(PACKAGE) and path.suffix == ".py"
}


def imported_modules(source: str, modules: set[str]) -> set[str]:
    """Returns the modules that a module imports anywhere, also in functions and for types."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & modules) or {node.module}
    return found & modules


def upward_imports(imports: dict[str, set[str]]) -> Iterator[str]:
    """Yields the imports of packages that are not in a lower layer."""
    for module, others in imports.items():
        for other in others:
            package, imported = module.split(".")[1], f"{other}.".split(".")[1]
            if package != imported and not RANKS[package] < RANKS.get(imported, -1):
                yield f"{module} imports {other}"


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """The imported modules of each module but the package itself, which has the public names."""
    return {
        name: imported_modules(path.read_text(), set(MODULES))
        for name, path in MODULES.items()
        if name != PACKAGE.name
    }


def test_every_package_has_a_layer():
    assert {name.split(".")[1] for name in MODULES if "." in name} == RANKS.keys()


def test_packages_import_lower_layers_only(imports):
    assert sorted(upward_imports(imports)) == []


def test_modules_do_not_import_each_other_in_a_circle(imports):
    graphlib.TopologicalSorter(imports).prepare()


def test_violations_are_found():
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from flax_vision.cli import train
def lazy():
    import flax_vision.data.crops
"""
    modules = {"flax_vision.cli", "flax_vision.cli.train", "flax_vision.data.crops"}
    found = imported_modules(source, modules)
    assert found == modules - {"flax_vision.cli"}
    upward = {"flax_vision.models.vgg": found, "flax_vision.cli.train": found}
    assert sorted(upward_imports(upward)) == [
        "flax_vision.models.vgg imports flax_vision.cli.train",
        "flax_vision.models.vgg imports flax_vision.data.crops",
    ]


def test_top_level_is_short():
    entries = {path.name for path in PACKAGE.glob("[!_]*")} - {"py.typed"}
    assert len(entries) <= MAX_TOP_ENTRIES, sorted(entries)


def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert lengths.keys() >= DATA_TABLES
    found = {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES}
    assert {name: found[name] for name in found.keys() - DATA_TABLES} == {}


def test_functions_are_short():
    lengths = {
        f"{path.relative_to(ROOT)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        if path.suffix == ".py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    found = {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES}
    assert found == {}
