import pytest

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.evaluation import METRICS, evaluate
from ltgnn_pyg.runs.run_folder import RunFolder


def test_the_test_part_is_as_it_was_after_training(folder, as_json):
    result = as_json("evaluate", folder)
    metrics = RunFolder.open(folder).config["metrics"]
    assert result == {"part": "test", "order": "random", **metrics}


def test_lengths_and_metrics(folder, ltgnn, as_json):
    words = ["evaluate", folder, "--k", 3, 7, "--metrics", *METRICS]
    result = as_json(*words)
    run = RunFolder.open(folder)
    known = Interactions.cat(run.split.train, run.split.val)
    want = evaluate(
        run.vectors, run.split.test, exclude=known, k=[3, 7], metrics=list(METRICS)
    )
    assert {name: result[name] for name in want} == want
    _, out, _ = ltgnn(*words)
    assert [line.split()[0] for line in out.splitlines()] == ["3", "7"]
    assert f"map {want['map@7']:.4f}" in out


def test_the_validation_part_of_a_run_without_refit(
    folder, ratings, tmp_path, ltgnn, as_json
):
    code, _, error = ltgnn("evaluate", folder, "--part", "val")
    assert code == 1 and "trained anew on it" in error
    out = tmp_path / "run"
    ltgnn("train", ratings, "--out", out, "--epochs", 2, "--no-refit")
    result = as_json("evaluate", out, "--part", "val")
    validation = RunFolder.open(out).config["validation"]
    assert {name: result[name] for name in validation} == pytest.approx(validation)


def test_a_part_that_is_empty_is_said(ratings, tmp_path, ltgnn):
    out = tmp_path / "run"
    words = ["--epochs", 1, "--test-ratio", 0, "--val-ratio", 0]
    assert ltgnn("train", ratings, "--out", out, *words)[0] == 0
    for part in ("test", "val"):
        code, _, error = ltgnn("evaluate", out, "--part", part)
        assert code == 1 and "raise" not in error and f"--{part}-ratio" in error
