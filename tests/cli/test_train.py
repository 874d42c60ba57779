import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch

from ltgnn_pyg.cli import train
from ltgnn_pyg.datasets import read_interactions, split_ratio
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.inputs.row_adam import RowAdam
from ltgnn_pyg.nn import LTGNN, SoftmaxLoss
from ltgnn_pyg.runs.run_folder import RunFolder
from ltgnn_pyg.train.fit import fit

FILES = {"config.json", "ids.parquet", "interactions.parquet", "metrics.jsonl",
         "model.safetensors", "run.ckpt"}  # fmt: skip


def same(one, other):
    one, other = RunFolder.open(one), RunFolder.open(other)
    for name in ("user", "item", "item_bias"):
        assert torch.equal(getattr(one.vectors, name), getattr(other.vectors, name))
    timed = {"seconds"}
    assert {k: v for k, v in one.config.items() if k not in timed} == {
        k: v for k, v in other.config.items() if k not in timed
    }


def test_a_run_is_what_the_library_trains(folder, ratings):
    whole = read_interactions(ratings)
    split = split_ratio(whole)
    torch.manual_seed(0)
    model = LTGNN(whole.num_users, whole.num_items)
    report = fit(model, split, max_epochs=3)
    run = RunFolder.open(folder)
    for name in ("user", "item", "item_bias"):
        assert torch.equal(getattr(run.vectors, name), getattr(report.vectors, name))
    metrics = evaluate(report.scorer, split.test, exclude=report.interactions)
    config = run.config
    assert config["metrics"] == metrics and config["validation"] == report.validation
    assert config["epochs"] == report.epochs and config["reason"] == report.reason
    assert config["model"]["settings"]["alpha"] == model.alpha
    assert config["training"]["max_epochs"] == 3 and config["training"]["refit"]
    assert config["data"]["path"] == "ratings.csv" and config["seed"] == 0
    assert str(ratings.parent) not in (folder / "config.json").read_text()
    assert {path.name for path in folder.iterdir()} == FILES


def test_flags_are_arguments_of_the_library(ratings, tmp_path, ltgnn):
    out = tmp_path / "run"
    words = ["--epochs", 2, "--alpha", 0.3, "--K", 2, "--temperature", 0.2, "--lr",
             0.005, "--average", 0, "--no-refit", "--metric", "ndcg@5", "--val-ratio",
             0.2, "--seed", 4, "--embedding-dim", 8]  # fmt: skip
    code, _, error = ltgnn("train", ratings, "--out", out, *words)
    assert code == 0 and '"alpha": 0.3' in error and '"lr": 0.005' in error
    whole = read_interactions(ratings)
    split = split_ratio(whole, val_ratio=0.2, seed=4)
    torch.manual_seed(4)
    loss_fn = SoftmaxLoss(0.2)
    model = LTGNN(whole.num_users, whole.num_items, 8, alpha=0.3, K=2, loss_fn=loss_fn)
    optimizer = partial(RowAdam, lr=0.005)
    report = fit(model, split, max_epochs=2, average=0.0, refit=False,
                 metric="ndcg@5", optimizer=optimizer)  # fmt: skip
    assert torch.equal(RunFolder.open(out).vectors.user, report.vectors.user)


def test_settings_of_a_file(ratings, tmp_path, ltgnn):
    path = tmp_path / "tuned.json"
    path.write_text('{"model": "lightgcn", "num_layers": 2, "lr": 0.004}')
    words = ["--epochs", 1, "--settings", path]
    code, _, error = ltgnn("train", ratings, "--out", tmp_path / "a", *words)
    assert code == 0 and '"num_layers": 2' in error and '"lr": 0.004' in error
    words += ["--num-layers", 1]  # Flags go before.
    code, _, error = ltgnn("train", ratings, "--out", tmp_path / "b", *words)
    assert code == 0 and '"num_layers": 1' in error
    for text in ('{"num_layers": 2}', "[]", '{"model": [1]}', "{",
                 '{"model": "mf", "num_layers": 2}',
                 '{"model": "lightgcn", "num_layers": "2"}'):  # fmt: skip
        path.write_text(text)
        code, _, error = ltgnn("train", ratings, "--out", tmp_path / "c", *words[:4])
        assert code == 1 and error.startswith("ltgnn: Expect")
    assert not (tmp_path / "c").exists()


def test_an_out_with_a_run_is_refused(folder, ratings, ltgnn):
    code, _, error = ltgnn("train", ratings, "--out", folder)
    assert code == 1 and f"ltgnn train {folder} --resume" in error
    code, out, error = ltgnn("train", folder, "--resume")
    assert code == 0 and out == "" and "finished" in error
    code, _, error = ltgnn("train", ratings.parent, "--resume")
    assert code == 1 and "Expected a run in" in error


def test_what_is_refused_leaves_no_run(ratings, tmp_path, ltgnn):
    for words in (["--alpha", 4], ["--metric", "luck@3"], ["--epochs", 0]):
        code, _, error = ltgnn("train", ratings, "--out", tmp_path / "run", *words)
        assert code == 1 and "ltgnn: Expected" in error
    code, _, _ = ltgnn("train", ratings, "--out", tmp_path / "run", "--epochs", 1)
    assert code == 0


@pytest.mark.parametrize("when", ["before", "after", "between"])
def test_an_interrupted_run_goes_on(
    when, folder, ratings, tmp_path, ltgnn, monkeypatch
):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    out, words = tmp_path / "run", ["--epochs", 3]
    with monkeypatch.context() as patch:
        if when == "before":
            patch.setattr(train, "fit_model", interrupted)
        elif when == "after":
            patch.setattr(train.RunFolder, "write", interrupted)
        else:
            patch.setattr(train, "say_epoch", interrupted)
        assert ltgnn("train", ratings, "--out", out, *words)[0] == 130
    code, _, error = ltgnn("inspect", out)
    assert code == 1 and "--resume" in error
    assert ltgnn("train", ratings, "--out", out, *words)[0] == 1
    monkeypatch.chdir(tmp_path)  # From anywhere.
    assert ltgnn("train", out, "--resume")[0] == 0
    same(out, folder)
    assert {path.name for path in out.iterdir()} == FILES


def test_a_killed_run_goes_on(folder, ratings, tmp_path, ltgnn):
    out = tmp_path / "run"
    words = ["train", ratings, "--out", out, "--epochs", 20, "--patience", 20]
    threads = ["--threads", torch.get_num_threads()]
    command = [sys.executable, "-m", "ltgnn_pyg.cli.main", *words, *threads]
    process = subprocess.Popen([str(word) for word in command])
    while not (out / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "config.json").exists() and (out / "train.json").exists()
    assert ltgnn("train", out, "--resume")[0] == 0
    words[3] = tmp_path / "whole"
    assert ltgnn(*words)[0] == 0
    same(out, words[3])


def test_other_interactions_are_refused(ratings, tmp_path, ltgnn, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    data, out = tmp_path / "mine.csv", tmp_path / "run"
    data.write_bytes(ratings.read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(train, "fit_model", interrupted)
        ltgnn("train", data, "--out", out)
    with open(data, "a") as file:
        file.write("new,i0\n")
    code, _, error = ltgnn("train", out, "--resume")
    assert code == 1 and "Expected the interactions that the run" in error


TWENTY = [f"{n // 5},{(n % 5 + n // 5) % 6}" for n in range(20)]


@pytest.mark.parametrize("rows", [["u,i"], ["u,i", "u,j"], TWENTY])
def test_tiny_data(rows, tmp_path, ltgnn, as_json):
    path, out = tmp_path / "tiny.csv", tmp_path / "run"
    path.write_text("\n".join(["user_id,item_id", *rows]) + "\n")
    code, text, error = ltgnn("train", path, "--out", out, "--epochs", 2)
    assert code == 0, error
    run = RunFolder.open(out)
    assert ("none, as there is no test part" in text) == (len(run.split.test) == 0)
    user = rows[0].split(",")[0]
    seen = {i for u, i in (row.split(",") for row in rows) if u == user}
    held = len(run.split.test.item[run.split.test.user == 0])
    listed = as_json("recommend", out, "--user", user)[0]["items"]
    assert len(listed) == run.vectors.num_items - len(seen) + held
    json.loads((out / "config.json").read_text(), parse_constant=pytest.fail)
