"""Imports run one way, and name the submodule they mean:

cli, serving -> training, stream -> distributed -> nn.models, loader, datasets,
filters, evaluation, retrieval -> nn.conv, nn.loss, sampler -> history, adjacency, optim
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ltgnn_pyg"
# What each room may import from the package, beside itself.
ALLOWED = {
    "version": set(),
    "adjacency": set(),
    "optim": set(),
    "checkpoint": set(),
    "edge_dropout": {"adjacency"},
    "gram": {"adjacency"},
    "history": {"adjacency"},
    "item_graph": {"adjacency"},
    "polynomial": {"adjacency"},
    "replace_file": set(),
    "round": {"adjacency", "polynomial"},
    "memory_map": {"optim"},
    "datasets": set(),
    "retrieval": set(),
    "sampler": {"adjacency"},
    "nn.conv": {"adjacency", "polynomial"},
    "nn.init": set(),
    "nn.loss": {"adjacency", "gram"},
    "metrics": set(),
    "evaluation": {"metrics", "retrieval"},
    "filters": {"adjacency", "datasets", "gram", "retrieval"},
    "loader": {"adjacency", "history", "round", "sampler"},
    "nn.models": {
        "adjacency",
        "edge_dropout",
        "history",
        "item_graph",
        "nn.conv",
        "nn.loss",
        "polynomial",
        "replace_file",
        "retrieval",
        "round",
        "sampler",
    },
    "nn": {"nn.conv", "nn.loss", "nn.models"},
    "distributed": {
        "adjacency",
        "datasets",
        "evaluation",
        "loader",
        "nn.init",
        "nn.loss",
        "nn.models",
        "retrieval",
    },
    "training": {
        "adjacency",
        "checkpoint",
        "datasets",
        "distributed",
        "evaluation",
        "loader",
        "nn.init",
        "nn.models",
        "optim",
        "replace_file",
        "retrieval",
    },
    "run_folder": {"datasets", "replace_file", "retrieval"},
    "export": {
        "datasets",
        "nn",
        "nn.models",
        "replace_file",
        "retrieval",
        "run_folder",
        "version",
    },
    "serving": {
        "datasets",
        "evaluation",
        "nn.models",
        "retrieval",
        "run_folder",
        "version",
    },
    "cli": {
        "datasets",
        "evaluation",
        "export",
        "filters",
        "nn",
        "nn.loss",
        "nn.models",
        "optim",
        "replace_file",
        "retrieval",
        "run_folder",
        "serving",
        "training",
        "version",
    },
}
# From the one that everything may import to those that nothing does.
LAYERS = [
    {
        "version",
        "adjacency",
        "edge_dropout",
        "gram",
        "history",
        "item_graph",
        "polynomial",
        "replace_file",
        "round",
        "optim",
        "memory_map",
        "checkpoint",
    },
    {"nn.conv", "nn.init", "nn.loss", "sampler"},
    {
        "nn.models",
        "nn",
        "loader",
        "datasets",
        "evaluation",
        "metrics",
        "retrieval",
        "filters",
    },
    {"distributed"},
    {"training", "stream", "run_folder"},
    {"export"},
    {"serving"},
    {"cli"},
]
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return module.removesuffix(".__init__")


def room(module: str) -> str:
    parts = module.split(".")
    if parts[0] == "nn":
        return ".".join(parts[:2]) if len(parts) > 1 else "nn"
    return parts[0]


def imports(source: str) -> set[str]:
    """The modules of the package that a source names."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert node.level == 0, f"line {node.lineno}: a relative import"
            assert module != "ltgnn_pyg", f"line {node.lineno}: name the submodule"
            if module.startswith("ltgnn_pyg."):
                found.add(module.removeprefix("ltgnn_pyg."))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                own = alias.name.split(".")[0] == "ltgnn_pyg"
                assert not own, f"line {node.lineno}: import from the submodule"
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    found = imports(path.read_text())
    if path == PACKAGE / "__init__.py":
        return  # The top level names everything.
    own = room(name_of(path))
    for other in {room(module) for module in found} - {own}:
        assert other in ALLOWED[own], f"{name_of(path)} imports {other}"


@pytest.mark.parametrize(
    "line",
    [
        "import ltgnn_pyg",
        "import ltgnn_pyg.history as h",
        "from ltgnn_pyg import History",
        "from ltgnn_pyg import history",
        "from . import history",
        "from .history import History",
        "def f():\n    from ltgnn_pyg import History",
    ],
)
def test_ways_round_are_caught(line):
    with pytest.raises(AssertionError):
        imports(line)


def test_deferred_imports_count():
    source = "def f():\n    from ltgnn_pyg.nn.conv import LTConv\nimport torch"
    assert imports(source) == {"nn.conv"}


def test_every_room_is_listed():
    rooms = {room(name_of(path)) for path in FILES} - {"__init__"}
    assert rooms <= set(ALLOWED)


def test_the_table_follows_the_layers():
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    for own, others in ALLOWED.items():
        assert all(level[other] <= level[own] for other in others), own
    apart = {name for name in ALLOWED if name.split(".")[0] == "nn"}
    assert "loader" not in set().union(*(ALLOWED[name] for name in apart))
    assert not ALLOWED["loader"] & apart  # They meet in the batch.


def test_tables_have_no_cycle():
    done: set[str] = set()
    while len(done) < len(ALLOWED):
        free = {name for name in ALLOWED if ALLOWED[name] <= done} - done
        assert free, f"a cycle among {set(ALLOWED) - done}"
        done |= free
