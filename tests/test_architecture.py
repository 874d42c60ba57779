"""Imports run one way, and name the submodule they mean; the root holds rooms only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts import ROOT

PACKAGE = ROOT / "ltgnn_pyg"
FILES = sorted(PACKAGE.rglob("*.py"))
LOOSE = {"__init__.py", "version.py", "py.typed"}


def test_imports_run_one_way():
    """The layers of pyproject.toml, from the one that nothing imports downwards."""
    script = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [script, "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_room_has_its_layer():
    layers = (ROOT / "pyproject.toml").read_text().split("layers = [")[1]
    for room in PACKAGE.iterdir():
        if room.is_dir() and room.name not in ("__pycache__", "nn"):
            assert f"ltgnn_pyg.{room.name}" in layers


def test_the_root_holds_rooms_only():
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files == LOOSE


def check_imports(source: str) -> None:
    """Refuses imports that do not name the submodule they mean."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            own = node.module == "ltgnn_pyg"
            assert not own, f"line {node.lineno}: name the submodule"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                own = alias.name.split(".")[0] == "ltgnn_pyg"
                assert not own, f"line {node.lineno}: import from the submodule"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_name_the_submodule(path):
    check_imports(path.read_text())


@pytest.mark.parametrize(
    "line",
    [
        "import ltgnn_pyg",
        "import ltgnn_pyg.history as h",
        "from ltgnn_pyg import History",
        "from . import history",
        "from .history import History",
        "def f():\n    from ltgnn_pyg import History",
    ],
)
def test_ways_round_are_caught(line):
    with pytest.raises(AssertionError):
        check_imports(line)
