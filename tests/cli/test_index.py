import sys
from types import ModuleType

import pytest

from ltgnn_pyg.cli.index import KINDS
from ltgnn_pyg.run_folder import RunFolder


class Index:
    """Stands in for an index: what the verb calls, and in which order."""

    num_items = 40

    def __init__(self, vectors, kind):
        self.vectors, self.kind = vectors, kind or "exact"

    @classmethod
    def build(cls, vectors, kind=None):
        return cls(vectors, kind)

    def save(self, path):
        assert path.name == "index"
        path.mkdir(exist_ok=True)
        (path / "a").write_bytes(b"x" * 2**20)
        (path / "b").write_bytes(self.kind.encode())


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_an_index_is_built_and_saved(
    kind, ratings, tmp_path, ltgnn, as_json, monkeypatch
):
    module = ModuleType("index")
    module.Index = Index
    monkeypatch.setitem(sys.modules, "ltgnn_pyg.retrieval.index", module)
    assert ltgnn("train", ratings, "--out", tmp_path, "--epochs", 1)[0] == 0
    words = ["index", tmp_path, *(["--kind", kind] if kind else [])]
    result = as_json(*words)
    assert result["kind"] == (kind or "exact") == (tmp_path / "index/b").read_text()
    assert result["items"] == 40 and result["MB"] == 1.0 and result["seconds"] >= 0
    assert result["path"] == str(tmp_path / "index")
    code, out, _ = ltgnn(*words)
    assert code == 0 and "40 items" in out and "1.0 MB" in out


def test_an_index_of_the_library(ratings, tmp_path, ltgnn, as_json):
    index = pytest.importorskip("ltgnn_pyg.retrieval.index")
    assert ltgnn("train", ratings, "--out", tmp_path, "--epochs", 1)[0] == 0
    assert as_json("index", tmp_path, "--kind", "exact")["kind"] == "exact"
    run = RunFolder.open(tmp_path)
    _, items = index.Index.load(tmp_path / "index").search(run.vectors.user[:2], 1)
    best = run.vectors.score(run.vectors.user.new_tensor([0, 1]).long()).argmax(1)
    assert items[:, 0].tolist() == best.tolist()
