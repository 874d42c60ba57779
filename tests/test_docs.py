"""The pages are built without a warning, and name everything public."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from itertools import chain

import pytest

from ltgnn_pyg.export import to_huggingface
from ltgnn_pyg.nn import LTGNN
from tests.export.conftest import write_run
from tests.scripts import ROOT

DOCS = ROOT / "docs"


@pytest.mark.slow
def test_pages_are_built_without_a_warning(tmp_path):
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run([*command, DOCS, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "from_pretrained" in (tmp_path / "api" / "models.html").read_text()


def test_every_public_name_has_a_page():
    """What a room offers is what its page is made of."""
    pages = "".join(page.read_text() for page in (DOCS / "api").glob("*.rst"))
    rooms = {room for room in re.findall(r"automodule:: (\S+)", pages)}
    shown = {
        id(getattr(import_module(room), name))
        for room in rooms
        for name in getattr(import_module(room), "__all__", dir(import_module(room)))
    }
    for path in (ROOT / "ltgnn_pyg").rglob("__init__.py"):
        offered = [
            ast.literal_eval(node.value)
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
        ]
        module = ".".join(path.parent.relative_to(ROOT).parts)
        for name in chain(*offered):
            found = getattr(import_module(module), name)
            assert id(found) in shown or name == "__version__", f"{module}.{name}"


def run_code(page):
    """Runs the snippets of a page, in order, as a reader pastes them."""
    scope: dict = {}
    for snippet in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S):
        exec(snippet, scope)
    return scope


def test_code_of_the_guide_runs():
    scope = run_code("guide.md")
    graph, grown = scope["graph"], scope["grown"]
    assert scope["new"].unique().tolist() == [graph.num_nodes] == [500]
    assert grown.num_edges == graph.num_edges + 2
    assert grown.target_edges[1, -2:].tolist() == [305, 308]
    assert scope["inputs"].table().size() == (500, 16)
    assert scope["found"]["recall@20"] > 0.0
    first, second = scope["items"].tolist()
    assert not {5, 8} & {*first} and not {2, -1} & {*second}
    bought, movies = scope["bought"], scope["movies"]
    assert [kind[1] for kind in bought.edge_types] == ["buy", "view"]
    seen = scope["report"].interactions
    for user, movie in zip(seen.user.tolist(), seen.item.tolist(), strict=True):
        assert movie not in movies[user].tolist()


def test_code_of_the_export_page_runs(tmp_path, monkeypatch):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    to_huggingface(write_run(tmp_path / "run", cls=LTGNN), tmp_path / "exported")
    monkeypatch.chdir(tmp_path)
    scope = run_code("export.md")
    assert scope["items"].shape == (2, 20) and not {3, 5} & set(scope["items"][0])
    assert scope["model"].num_items == 37
