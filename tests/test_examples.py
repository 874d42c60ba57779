import json

import pytest

from ltgnn_pyg.datasets import k_core, synthetic_interactions
from tests.scripts import kill_after, run


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    """A small file of interactions with named columns."""
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    data = synthetic_interactions(400, 300, 6000)
    rows = zip(data.user.tolist(), data.item.tolist(), strict=True)
    path.write_text("user_id,item_id\n" + "".join(f"u{u},i{i}\n" for u, i in rows))
    return path


def result(tmp_path, *args):
    """What a script prints, and the result it writes."""
    path = tmp_path / "out.json"
    text = run(*args, "--json", path)
    return text, json.loads(path.read_text())


def check_resumes(tmp_path, *args):
    """A run that was killed and goes on ends like one that was not."""
    folder = tmp_path / "run"
    _, whole = result(tmp_path, *args)
    kill_after("Epoch", *args, "--folder", folder)
    assert (folder / "metrics.jsonl").read_text()
    _, resumed = result(tmp_path, *args, "--folder", folder, "--resume")
    for out in (whole, resumed):
        out["curve"] = [row["loss"] for row in out["curve"]]
    timed = {key for key in whole if "second" in key or "ratio" in key}
    for key in whole.keys() - timed - {"peak_rss_mb"}:
        assert resumed[key] == whole[key], key
    return whole


def test_quickstart_beats_popularity_and_resumes(tmp_path, ratings):
    script = ["examples/quickstart.py", "--dataset", ratings, "--epochs", 3]
    whole = check_resumes(tmp_path, *script)
    assert whole["recall@20"] > whole["popularity"]["recall@20"]
    assert whole["order"] == "random" and whole["epochs"] in (1, 2, 3)
    assert whole["train_seconds"] >= 0 and whole["peak_rss_mb"] > 0


def test_lightgcn_dropin():
    text = run("examples/lightgcn_dropin.py", "--epochs", 1, "--interactions", 3000)
    names = [line.split()[0] for line in text.splitlines()]
    assert names == ["LightGCN", "WithLTConv", "WithRounds", "WithHistory"]


TINY = ["examples/amazon_large.py", "--synthetic", "--scale", 0.001]
TINY += ["--eval-users", 100]


def test_amazon_large_resumes(tmp_path):
    whole = check_resumes(tmp_path, *TINY, "--epochs", 3)
    sizes = {"num_users": 873, "num_items": 454, "num_interactions": 15_236}
    assert {k: whole[k] for k in sizes} == sizes
    assert 0 < whole["recall@20"] < 1 and whole["source"] == "synthetic"
    assert whole["epochs"] < len(whole["curve"])


def test_amazon_large_shows_speed_and_memory(tmp_path):
    text, out = result(tmp_path, *TINY, "--max-steps", 3)
    assert "SYNTHETIC" in text and "Peak memory" in text
    times = {"seconds_per_step", "epoch_seconds", "mf_seconds_per_step"}
    times |= {"mf_epoch_seconds", "ratio_ltgnn_mf", "refresh_seconds", "peak_rss_mb"}
    assert all(out[k] > 0 for k in times)
    assert out["steps_timed"] == 3 and "recall@20" not in out


def test_amazon_large_reads_reviews(tmp_path):
    data = synthetic_interactions(300, 200, 6000)
    rows = zip(data.user.tolist(), data.item.tolist(), strict=True)
    path = tmp_path / "ratings.csv"
    path.write_text("".join(f"A{u},B{i},5.0,1300000000\n" for u, i in rows))
    text = run("examples/amazon_large.py", "--csv", path, "--max-steps", 2)
    core = k_core(data, k=10)
    assert 0 < core.num_items < data.num_items
    assert f"{core.num_users:,} users, {core.num_items:,} items" in text
