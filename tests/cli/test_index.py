import shutil

import pytest
import torch

from ltgnn_pyg.retrieval import Index
from ltgnn_pyg.retrieval.index import KINDS
from ltgnn_pyg.runs.run_folder import RunFolder
from ltgnn_pyg.scorers import Query


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_an_index_is_built_and_saved(kind, folder, tmp_path, ltgnn, as_json):
    if kind in ("ivf", "sq8"):
        pytest.importorskip("faiss")
    run = shutil.copytree(folder, tmp_path / "run")
    words = ["index", run, *(["--kind", kind] if kind else [])]
    result = as_json(*words)
    assert result["kind"] == (kind or "exact") and result["path"] == str(run / "index")
    assert result["items"] == 40 and result["MB"] > 0 and result["seconds"] >= 0
    code, out, _ = ltgnn(*words)
    assert code == 0 and "40 items" in out
    vectors = RunFolder.open(run).vectors
    _, items = Index.load(run / "index").search(vectors.user[:2], 1)
    best = vectors.score(Query(user=torch.tensor([0, 1]))).argmax(1)
    assert items[:, 0].tolist() == best.tolist()


def test_another_kind_is_refused(folder, ltgnn):
    assert ltgnn("index", folder, "--kind", "hnsw")[0] == 2
