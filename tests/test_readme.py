import re
from pathlib import Path

import torch

from ltgnn_pyg import History, VRNeighborLoader
from ltgnn_pyg.datasets import synthetic_interactions

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_code_in_readme_runs(tmp_path, monkeypatch, capsys):
    data = synthetic_interactions(300, 200, 4000)
    rows = zip(data.user.tolist(), data.item.tolist(), strict=True)
    rows = [f"u{u},i{i},{99_000 - b}" for b, (u, i) in enumerate(rows)]
    lines = ["user_id,item_id,timestamp", *rows]
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", README, re.S)
    first, distillation, recency, layer = snippets
    scope: dict = {}
    exec(first, scope)
    assert "recall@20" in capsys.readouterr().out
    assert scope["raw_ids"].shape == (2, 10)
    scope["wide"] = scope["model"]
    exec(distillation, scope)
    assert scope["data"].teacher.shape == (scope["data"].num_nodes, 64)
    student, loader = scope["model"], scope["loader"]
    student.refresh(loader.adj_t)
    assert student.loss(next(iter(loader))).isfinite()
    exec(recency, scope)
    interactions, split = scope["interactions"], scope["split"]
    assert (interactions.time.diff() > 0).all()
    assert split.train.equal(scope["data"].edge_index[:, : split.train.size(1)])
    user, weight = split.train[0], scope["weight"]
    for u in range(10):  # The later, the heavier.
        assert (weight[user == u].diff() > 0).all()
    plain = student.get_embedding(scope["data"].edge_index)
    assert not torch.equal(plain, scope["z"]) and scope["items"].shape == (2, 20)
    history = History(scope["data"].num_nodes, 64)
    loader = VRNeighborLoader(scope["data"], history, 15)
    batch = next(iter(loader))
    scope |= {"batch": batch, "seed": batch.n_id[: batch.num_seeds]}
    scope |= {"x": scope["model"].embedding.weight}
    scope |= {"edge_index": scope["data"].edge_index}
    exec(layer, scope)
    assert scope["z"].shape == (batch.num_seeds, 64)
    assert scope["report"].converged
