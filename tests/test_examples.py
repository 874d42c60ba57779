import json
import subprocess
import sys
from pathlib import Path

import pytest

from ltgnn_pyg.datasets import k_core, synthetic_interactions

ROOT = Path(__file__).parents[1]


def run(script, *args, folder="examples"):
    command = [sys.executable, ROOT / folder / script, *map(str, args)]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return out.stdout


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    """A small file of interactions with named columns."""
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    data = synthetic_interactions(400, 300, 6000)
    rows = zip(data.user.tolist(), data.item.tolist(), strict=True)
    path.write_text("user_id,item_id\n" + "".join(f"u{u},i{i}\n" for u, i in rows))
    return path


def test_quickstart_beats_popularity_and_resumes(tmp_path, ratings):
    def result(name, *args):
        path = tmp_path / name
        text = run("quickstart.py", "--dataset", ratings, "--json", path, *args)
        return text, json.loads(path.read_text())

    _, whole = result("whole.json", "--epochs", 3)
    checkpoint = ["--checkpoint", tmp_path / "run.ckpt", "--resume"]
    result("first.json", "--epochs", 2, *checkpoint)
    text, resumed = result("second.json", "--epochs", 3, *checkpoint)
    assert "Resumed after epoch 2" in text
    keys = {"dataset", "seed", "epochs", "recall@20", "ndcg@20"}
    assert {k: resumed[k] for k in keys} == {k: whole[k] for k in keys}
    assert whole["recall@20"] > whole["popularity"]["recall@20"]
    assert {"train_seconds", "peak_rss_mb"} <= whole.keys()


def test_lightgcn_dropin():
    text = run("lightgcn_dropin.py", "--epochs", 1, "--interactions", 3000)
    for name in ("LightGCN", "WithLTConv", "WithHistory"):
        assert name in text


def test_amazon_large_resumes(tmp_path):
    def result(name, *args):
        path = tmp_path / name
        tiny = ["--synthetic", "--scale", 0.001, "--max-steps", 3, "--eval-users", 100]
        text = run("amazon_large.py", *tiny, "--json", path, *args)
        return text, json.loads(path.read_text())

    text, whole = result("whole.json", "--epochs", 3)
    assert "SYNTHETIC" in text
    checkpoint = ["--checkpoint", tmp_path / "run.ckpt", "--resume"]
    result("first.json", "--epochs", 2, *checkpoint)
    text, resumed = result("second.json", "--epochs", 3, *checkpoint)
    assert "Resumed after epoch 2" in text
    keys = {"num_users", "num_items", "num_interactions", "epoch", "best_epoch"}
    keys |= {"best_recall", "recall@20", "ndcg@20"}
    assert {k: resumed[k] for k in keys} == {k: whole[k] for k in keys}
    sizes = {"num_users": 873, "num_items": 454, "num_interactions": 15_236}
    assert {k: whole[k] for k in sizes} == sizes
    times = {"seconds_per_step", "mf_seconds_per_step", "peak_rss_mb"}
    assert all(whole[k] > 0 for k in times)


def test_amazon_large_reads_reviews(tmp_path):
    data = synthetic_interactions(300, 200, 6000)
    rows = zip(data.user.tolist(), data.item.tolist(), strict=True)
    path = tmp_path / "ratings.csv"
    path.write_text("".join(f"A{u},B{i},5.0,1300000000\n" for u, i in rows))
    text = run("amazon_large.py", "--csv", path, "--max-steps", 2)
    core = k_core(data, k=10)
    assert 0 < core.num_items < data.num_items
    assert f"{core.num_users:,} users, {core.num_items:,} items" in text


def test_quality_on_a_folder_of_lightgcn_text(tmp_path):
    data = synthetic_interactions(300, 200, 4000)
    for name, part in (("train", slice(0, None, 2)), ("test", slice(1, None, 2))):
        rows: dict[int, list[str]] = {}
        for u, i in zip(
            data.user[part].tolist(), data.item[part].tolist(), strict=True
        ):
            rows.setdefault(u, []).append(str(i))
        lines = [f"{u} {' '.join(items)}" for u, items in sorted(rows.items())]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))

    def result(*args):
        out = tmp_path / "out.json"
        base = ["--dataset", tmp_path, "--epochs", 3, "--json", out]
        run("quality.py", *base, *args, folder="benchmarks")
        return json.loads(out.read_text())

    curve = tmp_path / "curve.csv"
    refit = result("--recipe", "default", "--curve", curve)
    keys = {"recipe", "seed", "epochs", "train_seconds", "valid"}
    assert keys | {"recall@20", "ndcg@20"} <= refit.keys()
    assert len(curve.read_text().splitlines()) == len(refit["curve"]) + 1
    for args in (
        ["--recipe", "popularity"],
        ["--recipe", "svd"],
        ["--recipe", "released", "--protocol", "paper"],
        ["--recipe", "mf-filtered", "--protocol", "holdout"],
    ):
        assert 0 < result(*args)["recall@20"] < 1
    tuned = result("--protocol", "validation", "--set", "alpha=0.3", "loss=BPRLoss")
    assert "recall@20" not in tuned and tuned["changed"] == [
        "alpha=0.3",
        "loss=BPRLoss",
    ]
