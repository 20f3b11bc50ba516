import ast
from pathlib import Path

from flax_vision.training import build


def test_build_imports_at_most_twelve_of_our_modules():
    """A module that needs more of the package does more than compose it."""
    modules = set()
    for node in ast.walk(ast.parse(Path(build.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("flax_vision"):
            folder = Path(build.__file__).parents[1].joinpath(*node.module.split(".")[1:])
            names = [alias.name for alias in node.names] if folder.is_dir() else [""]
            modules |= {f"{node.module}.{name}" for name in names}
    assert 0 < len(modules) <= 12
