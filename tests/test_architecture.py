"""Imports run one way: scripts -> models, loader, datasets, evaluation -> layers."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ltgnn_pyg"
# What each room may import from the package, beside itself.
ALLOWED = {
    "adjacency": set(),
    "retrieval": set(),
    "datasets": set(),
    "checkpoint": set(),
    "optim": set(),
    "memory_map": {"optim"},
    "version": set(),
    "sampler": {"adjacency"},
    "history": {"adjacency"},
    "nn.conv": {"adjacency"},
    "nn.init": set(),
    "nn.loss": set(),
    "evaluation": {"retrieval"},
    "loader": {"adjacency", "history", "sampler"},
    "nn.models": {"adjacency", "history", "nn.conv", "nn.loss", "retrieval"},
    "nn": {"nn.conv", "nn.loss", "nn.models"},
}


def room(module: str) -> str:
    parts = module.split(".")
    if parts[0] == "nn":
        return ".".join(parts[:2]) if len(parts) > 1 else "nn"
    return parts[0]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"{path}: a relative import out of its folder"
            if node.module and node.module.startswith("ltgnn_pyg."):
                found.add(node.module.removeprefix("ltgnn_pyg."))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith("ltgnn_pyg"), path
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_run_one_way(path):
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    module = module.removesuffix(".__init__")
    if module == "__init__":
        return  # The top level names everything.
    own = room(module)
    for other in {room(name) for name in imports(path)} - {own}:
        assert other in ALLOWED[own], f"{module} imports {other}"


def test_every_room_is_listed():
    rooms = {
        room(".".join(p.relative_to(PACKAGE).with_suffix("").parts))
        for p in PACKAGE.rglob("*.py")
        if p.name != "__init__.py"
    }
    assert rooms <= set(ALLOWED)
