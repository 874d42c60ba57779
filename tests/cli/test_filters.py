"""Scorers that need no training, by the same verbs as models."""

import json

import pytest

from ltgnn_pyg.cli.models import FILTERS
from ltgnn_pyg.datasets import read_interactions, split_ratio
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.scorers import top_k
from ltgnn_pyg.train import fit_filter


@pytest.fixture(scope="module", params=FILTERS)
def filtered(request, ratings, tmp_path_factory):
    """A run of each of them: its name and its folder."""
    from ltgnn_pyg.cli.main import main

    out = tmp_path_factory.mktemp("runs") / request.param
    words = ["train", str(ratings), "--out", str(out), "--model", request.param]
    assert main(words) == 0
    return request.param, out


def test_a_run_is_what_the_library_makes(filtered, ratings, as_json):
    name, out = filtered
    split = split_ratio(read_interactions(ratings))
    report = fit_filter(FILTERS[name], split)
    metrics = evaluate(report.scorer, split.test, exclude=report.interactions)
    config = RunFolder.open(out).config
    assert config["metrics"] == metrics and config["validation"] == report.validation
    assert config["training"]["model"] == name and "model" not in config
    assert config["epochs"] == 0 and config["reason"] == "as it needs no training"
    assert {path.name for path in out.iterdir()} == {
        "config.json", "ids.parquet", "interactions.parquet", "model.safetensors"
    }  # fmt: skip
    assert as_json("evaluate", out) == {"part": "test", "order": "random", **metrics}
    result = as_json("inspect", out)
    assert result["scorer"] == FILTERS[name].__name__


def test_lists_are_those_of_the_library(filtered, as_json, ltgnn, tmp_path):
    _, out = filtered
    run = RunFolder.open(out)
    scores, items = top_k(run.scorer, 4, exclude=run.seen)
    result = as_json("recommend", out, "--user", "u3", "a b", "-k", 4)
    for each, raw in zip(result, ["u3", "a b"], strict=True):
        index = run.user_ids.index(raw)
        found = [row["score"] for row in each["items"]]
        assert found == pytest.approx(scores[index].tolist())
    path = tmp_path / "lists.jsonl"
    assert ltgnn("recommend", out, "--all-users", "--out", path, "-k", 4)[0] == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == int((items >= 0).sum())


def test_what_it_cannot_do_is_a_sentence(filtered, ltgnn, tmp_path):
    name, out = filtered
    verbs = [["similar", out, "--item", "i1"], ["similar", out, "--user", "u1"],
             ["index", out]]  # fmt: skip
    forms = ("numpy", "parquet", "safetensors", "int8", "huggingface")
    place = tmp_path / "out"
    verbs += [["export", out, "--to", form, "--out", place] for form in forms]
    for words in verbs:
        code, text, error = ltgnn(*words)
        if name == "popularity":  # A vector of one number.
            assert code == 0, error
            continue
        assert (code, text) == (1, "") and error.count("\n") == 1
        assert f"'{FILTERS[name].__name__}', which has none" in error
        assert not place.exists() and not (out / "index").exists()


def test_settings_are_those_of_the_filter(ratings, tmp_path, ltgnn):
    out = tmp_path / "run"
    words = ["train", ratings, "--model", "ease", "--out"]
    assert ltgnn(*words, out, "--l2", 3, "--metric", "ndcg@5")[0] == 0
    run = RunFolder.open(out)
    assert run.scorer.l2 == 3.0 and "ndcg@5" in run.config["validation"]
    for more, flag in (
        (["--epochs", 3], "--epochs"), (["--no-refit"], "--refit"),
        (["--lr", 0.1], "--lr"), (["--alpha", 0.1], "--alpha"),
        (["--beside", "gfcf"], "--beside"),
    ):  # fmt: skip
        code, _, error = ltgnn(*words, tmp_path / "other", *more)
        assert code == 2 and flag in error and "leave it out" in error
    code, _, error = ltgnn(*words, tmp_path / "other", "--l2", 0)
    assert code == 1 and "Expected a positive 'l2'" in error
    code, _, error = ltgnn("evaluate", out, "--part", "val")
    assert code == 1 and "trained anew on it" in error


def test_one_goes_on_and_is_finished(ratings, tmp_path, ltgnn, monkeypatch):
    from ltgnn_pyg.cli import train

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    words = ["train", ratings, "--model", "itemknn", "--out"]
    assert ltgnn(*words, tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(train.RunFolder, "write", interrupted)
        assert ltgnn(*words, tmp_path / "run")[0] == 130
    assert ltgnn("train", tmp_path / "run", "--resume")[0] == 0
    one, other = (tmp_path / name / "model.safetensors" for name in ("run", "whole"))
    assert one.read_bytes() == other.read_bytes()
    code, _, error = ltgnn("train", tmp_path / "run", "--resume")
    assert code == 0 and "finished" in error
