"""A model and a filter as one, with the weight that validation finds."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch

from ltgnn_pyg.cli import fit_model, train
from ltgnn_pyg.datasets import Split, read_interactions, split_ratio
from ltgnn_pyg.evaluation import choose_blend, evaluate
from ltgnn_pyg.nn import LTGNN
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.scorers import Blend, Query
from ltgnn_pyg.scorers.filters import EASE
from ltgnn_pyg.train import fit, fit_beside

FLAGS = ["--epochs", "3", "--embedding-dim", "8", "--beside", "ease"]


@pytest.fixture(scope="module")
def blended(ratings, tmp_path_factory):
    """A finished run of a blend."""
    from ltgnn_pyg.cli.main import main

    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", str(ratings), "--out", str(out), *FLAGS]) == 0
    return out


def make_model(split):
    torch.manual_seed(0)
    return LTGNN(split.train.num_users, split.train.num_items, 8)


def score(scorer):
    user = torch.arange(scorer.num_users)
    return torch.cat(
        [scorer.score(Query(user)), scorer.score(Query.of_items([[1, 4]]))]
    )


def same(one, other):
    one, other = RunFolder.open(one), RunFolder.open(other)
    assert torch.equal(score(one.scorer), score(other.scorer))
    timed = {"seconds"}
    assert {k: v for k, v in one.config.items() if k not in timed} == {
        k: v for k, v in other.config.items() if k not in timed
    }


def test_it_is_what_the_library_makes_by_hand(blended, ratings):
    split = split_ratio(read_interactions(ratings))
    alone = fit(make_model(split), split, max_epochs=3, refit=False)
    parts = {"exclude": split.train, "k": 20}
    found = choose_blend(alone.scorer, [EASE(split.train)], split.val, **parts)
    both = Split(split.known, split.val[:0], split.test, split.order)
    model = make_model(split)
    report = fit(model, both, max_epochs=alone.epochs)
    scorer = Blend(report.scorer, EASE(split.known), found.weight)
    run = RunFolder.open(blended)
    assert torch.equal(score(run.scorer), score(scorer))
    config = run.config
    assert config["metrics"] == evaluate(scorer, split.test, exclude=split.known)
    names = ["ndcg", "recall"]
    validation = evaluate(found, split.val, metrics=names, **parts)
    assert config["validation"] == validation
    assert config["training"]["beside"] == "ease"
    assert config["training"]["beside_weight"] == found.weight
    assert f"a weight of {found.weight:g}" in config["reason"]
    again = LTGNN.from_pretrained(blended)
    assert torch.equal(again.inputs.weight, model.inputs.weight)


def test_verbs_take_it(blended, as_json, ltgnn):
    config = RunFolder.open(blended).config
    result = as_json("evaluate", blended)
    assert result == {"part": "test", "order": "random", **config["metrics"]}
    assert as_json("inspect", blended)["scorer"] == "Blend"
    assert len(as_json("recommend", blended, "--user", "u1")[0]["items"]) == 10
    for words in (["similar", "--item", "i1"], ["index"], ["export", "--to", "numpy"]):
        verb, *more = words
        code, _, error = ltgnn(verb, blended, *more)
        assert code == 1 and "'Blend', which has none" in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("when", ["alone", "weight", "known", "write"])
def test_an_interrupted_one_goes_on(
    when, blended, ratings, tmp_path, ltgnn, monkeypatch
):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    said = []

    def say(row, step):
        said.append(row)
        if len(said) == (2 if when == "alone" else 4):
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        if when == "weight":
            module = sys.modules["ltgnn_pyg.train.fit_beside"]
            patch.setattr(module, "choose_blend", interrupted)
        elif when == "write":
            patch.setattr(train.RunFolder, "write", interrupted)
        else:
            patch.setattr(train, "say_epoch", say)
        assert ltgnn("train", ratings, "--out", out, *FLAGS)[0] == 130
    assert not (out / "config.json").exists()
    assert ltgnn("train", out, "--resume")[0] == 0
    same(out, blended)


@pytest.mark.parametrize("stage", ["alone", "known"])
def test_a_killed_one_goes_on(stage, ratings, tmp_path, ltgnn):
    out = tmp_path / "run"
    words = ["train", ratings, "--out", out, *FLAGS, "--epochs", 20, "--patience", 20]
    threads = ["--threads", torch.get_num_threads()]
    command = [sys.executable, "-m", "ltgnn_pyg.cli.main", *words, *threads]
    process = subprocess.Popen([str(word) for word in command])
    while not (out / stage / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "config.json").exists() and (out / "train.json").exists()
    assert ltgnn("train", out, "--resume")[0] == 0
    words[3] = tmp_path / "whole"
    assert ltgnn(*words)[0] == 0
    same(out, words[3])


def test_both_may_stay_those_of_the_training_part(ratings, tmp_path, ltgnn, as_json):
    out = tmp_path / "run"
    assert ltgnn("train", ratings, "--out", out, *FLAGS, "--no-refit")[0] == 0
    split = split_ratio(read_interactions(ratings))
    make = partial(make_model, split)
    _, report = fit_beside(make, EASE, split, max_epochs=3, refit=False)
    run = RunFolder.open(out)
    assert torch.equal(score(run.scorer), score(report.scorer))
    assert torch.equal(run.scorer.second.inverse, EASE(split.train).inverse)
    validation = run.config["validation"]
    result = as_json("evaluate", out, "--part", "val")
    assert {name: result[name] for name in validation} == pytest.approx(validation)


def test_there_must_be_a_validation_part(ratings, tmp_path, ltgnn):
    out = tmp_path / "run"
    code, _, error = ltgnn("train", ratings, "--out", out, *FLAGS, "--val-ratio", 0)
    assert code == 1 and "Expected a validation part, on which the weight" in error
    assert ltgnn("train", ratings, "--out", out, *FLAGS, "--metric", "x@3")[0] == 1
    assert ltgnn("train", ratings, "--out", out, "--beside", "ltgnn")[0] == 2
    assert not list(out.iterdir())
    assert fit_model.FIT["refit"].default
