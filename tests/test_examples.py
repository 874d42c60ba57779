import json
import re
from importlib.util import find_spec

import pytest

from ltgnn_pyg.datasets import k_core, synthetic_interactions
from tests.scripts import kill_after, run, start, write_lightgcn


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


def test_notebook_from_a_file_to_lists():
    text = run("examples/notebooks/file_to_list.py")
    figures = re.findall(r"(LTGNN|popularity) +{'recall@20': ([\d.]+)", text)
    found = {name: float(value) for name, value in figures}
    assert found["LTGNN"] > found["popularity"]
    assert len(re.findall(r"^ *-?[\d.]+  item \d+$", text, re.M)) == 5
    assert "model.int8" in text


def test_notebook_from_lightgcn_to_ltconv():
    text = run("examples/notebooks/lightgcn_to_ltconv.py")
    left = [float(x) for x in re.findall(r"steps ([\d.]+) of the way", text)]
    assert len(left) == 4 and left == sorted(left, reverse=True) and left[-1] < 0.001
    assert "converged=True" in text and "80,000 interactions" in text


AMAZON = ["examples/amazon_large.py", "--eval-users", 100, "--threads", 1]
TINY = [*AMAZON, "--scale", 0.001]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A set to make a larger one of."""
    root = tmp_path_factory.mktemp("root")
    (root / "gowalla").mkdir()
    write_lightgcn(root / "gowalla", synthetic_interactions(100, 150, 3500))
    return root


@pytest.mark.slow
def test_amazon_large_is_made_of_a_real_set_and_resumes(tmp_path, root):
    script = [*TINY, "--root", root, "--methods", "ltgnn", "--patience", 1]
    folder = tmp_path / "run"
    text, whole = result(tmp_path, *script)
    assert "873 users, 454 items" in text and "Peak memory" in text
    assert whole["source"] == "expanded gowalla"
    assert whole["num_interactions"] == pytest.approx(15_236, rel=0.02)
    kill_after("LTGNN epoch", *script, "--folder", folder)
    assert (folder / "ltgnn/metrics.jsonl").read_text()
    _, resumed = result(tmp_path, *script, "--folder", folder, "--resume")
    rows = [out["methods"]["ltgnn"] for out in (whole, resumed)]
    for row in rows:
        assert 0 < row["recall@20"] < 1 and row["peak_rss_mb"] > 0
        assert row["seconds"] > row["start_seconds"] > 0
        row["curve"] = [each["loss"] for each in row["curve"]]
    for key in ("curve", "recall@20", "ndcg@20", "epochs"):
        assert rows[0][key] == rows[1][key]
    out = start(*script, "--folder", folder).communicate()[1]
    assert "holds a run" in out


@pytest.mark.slow
def test_amazon_large_draws_where_there_is_no_set(tmp_path):
    few = ["--methods", "ltgnn", "--loader", "steps", "--max-minutes", 0.001]
    process = start(*TINY, "--root", tmp_path, *few)
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert "NO SET" in error and "SYNTHETIC" in error and "LTGNN epoch  1" in out


@pytest.mark.slow
def test_amazon_large_has_als_beside_it(tmp_path, root):
    script = [*TINY, "--root", root, "--methods", "mf", "als", "--max-minutes", 0.01]
    process = start(*script, "--json", tmp_path / "out.json")
    _, error = process.communicate()
    assert process.returncode == 0, error
    methods = json.loads((tmp_path / "out.json").read_text())["methods"]
    assert ("als" in methods) == (find_spec("implicit") is not None)
    assert ("NO ALS" in error) == ("als" not in methods)
    assert all(0 < row["recall@20"] < 1 for row in methods.values())


@pytest.mark.slow
def test_amazon_large_reads_reviews(tmp_path):
    data = synthetic_interactions(300, 200, 6000)
    rows = zip(data.user.tolist(), data.item.tolist(), strict=True)
    path = tmp_path / "ratings.csv"
    path.write_text("".join(f"A{u},B{i},5.0,1300000000\n" for u, i in rows))
    few = ["--methods", "ltgnn", "--max-minutes", 0.001]
    text = run(*AMAZON, "--csv", path, *few)
    core = k_core(data, k=10)
    assert 0 < core.num_items < data.num_items
    assert f"{core.num_users:,} users, {core.num_items:,} items" in text


def test_rerank(tmp_path):
    script = ["examples/rerank.py", "--epochs", 1, "--lam", 0.3]
    text, out = result(tmp_path, *script)
    for way in ("scores", "rules", "mmr", "dpp", "calibrated"):
        assert 0 < out[way]["recall@20"] < 1 and way in text
    assert out["mmr"]["ild@20"] > out["rules"]["ild@20"]
    assert out["dpp"]["ild@20"] > out["rules"]["ild@20"]
    assert out["in_stock"] and len({*out["request"]["items"]}) == 20
    without, with_clicks = out["request"]["like_clicks"]
    assert with_clicks > without
