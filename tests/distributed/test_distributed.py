"""Several processes equal one: products, starts, trainings, lists and resumed runs."""

import ast
import json
import signal
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
import torch

from ltgnn_pyg import LTGNN
from ltgnn_pyg.distributed import Partition
from ltgnn_pyg.distributed.recommender import ShardedRecommender
from ltgnn_pyg.nn.loss import EGCFLoss, GuidedSoftmaxLoss
from tests.distributed import work
from tests.distributed.launch import launch
from tests.scripts import ROOT

#: What is trained in how many processes.
TRAINED = {
    1: ["ltgnn"],
    2: list(work.CASES),
    3: ["ltgnn", "layers", "by_user"],
    4: ["ltgnn", "one_round"],
}


@pytest.fixture(scope="module")
def one():
    """What one process finds, without a group."""
    torch.set_num_threads(1)
    found = {name: work.figures(work.train(name)) for name in work.CASES}
    return {"products": work.products(), **found}


@pytest.mark.parametrize("world_size", TRAINED)
def test_several_processes_equal_one(tmp_path, one, world_size):
    names = TRAINED[world_size]
    launch(work.everything, world_size, tmp_path, names, tmp_path)
    for rank in range(world_size):
        found = torch.load(tmp_path / str(rank))
        for name in ("out", "grad"):
            expected = one["products"][name]
            torch.testing.assert_close(found["products"][name], expected)
        for start, expected, atol in zip(
            found["products"]["starts"],
            one["products"]["starts"],
            (1e-5, 1e-12),  # In single precision one process rounds more.
            strict=True,
        ):
            torch.testing.assert_close(start, expected, atol=atol, rtol=0.0)
        for name in names:
            check_equal(found[name], one[name])
        messages = found["errors"]
        assert "own loss cannot be split" in messages["model"]
        assert "rounds of a step each" in messages["inner_steps"]
        assert "Expected a 'PairLoader'" in messages["loader"]
        assert "'spectral_' or None" in messages["init"]
        if world_size > 1:
            assert "the same model" in messages["seed"]
            assert "the same data" in messages["settings"]
            assert "build anew" in messages["trained"]


def check_equal(found, expected):
    for name in ("user", "item", "bias"):
        if expected[name] is not None:
            torch.testing.assert_close(
                found[name], expected[name], atol=1e-6, rtol=1e-6
            )
    assert found["epochs"] == expected["epochs"]
    assert found["result"] == pytest.approx(expected["result"], abs=1e-6)
    for row, other in zip(found["curve"], expected["curve"], strict=True):
        assert row == pytest.approx(other, abs=1e-6)
    first, score, item = found["top_k"]
    rows = slice(first, first + item.size(0))
    _, expected_score, expected_item = expected["top_k"]
    torch.testing.assert_close(score, expected_score[rows], atol=1e-6, rtol=1e-6)
    assert torch.equal(item, expected_item[rows])


def test_a_run_goes_on_in_another_number_of_processes(tmp_path):
    """Saved by two processes after an epoch; one, two and three end it alike."""
    expected = work.figures(work.train("layers", **work.RUN))
    launch(work.train_until, 2, tmp_path, 2, tmp_path / "2")
    for world_size in (1, 2, 3):
        folder = tmp_path / f"run.{world_size}"
        launch(work.go_on, world_size, tmp_path, tmp_path / "2", folder)
        for rank in range(world_size):
            check_equal(torch.load(folder / f"out.{rank}"), expected)
        rows = (folder / "metrics.jsonl").read_text().splitlines()
        assert len(rows) == len(expected["curve"])
    names = sorted(path.name for path in (tmp_path / "run.3").iterdir())
    assert len([name for name in names if name.startswith("run.ckpt")]) == 2


def test_imports_of_the_room_have_no_circle():
    """Those inside of functions count, too."""
    files = (ROOT / "ltgnn_pyg/distributed").glob("[a-z]*.py")
    imports = {
        f"ltgnn_pyg.distributed.{path.stem}": {
            node.module
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
        }
        for path in files
    }
    order = list(TopologicalSorter(imports).static_order())  # Raises on a circle.
    names = [f"ltgnn_pyg.distributed.{name}" for name in ("partition", "adjacency")]
    assert sorted(names, key=order.index) == names


def test_partition_balances_edges_and_knows_owners():
    degree = torch.tensor([9, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0])
    parts = [Partition(degree, 7, rank, 3) for rank in range(3)]
    assert parts[0].user_ptr == [0, 1, 5, 12]
    n_id = torch.arange(19)
    assert torch.equal(torch.cat([p.n_id() for p in parts]).sort()[0], n_id)
    owner, row = parts[0].owner(n_id)
    table = torch.randn(19, 2)
    for rank, p in enumerate(parts):
        own = owner == rank
        assert torch.equal(p.n_id()[row[own]], n_id[own])
        assert torch.equal(p.take(table), table[p.n_id()])
    even = Partition(torch.ones(100), 7, 0, 4)
    assert even.user_ptr == [0, 25, 50, 75, 100] and even.item_ptr == [0, 1, 3, 5, 7]
    with pytest.raises(ValueError, match="start fewer"):
        Partition(degree, 2, 0, 3)


def test_what_is_prepared_with_the_whole_graph_is_refused():
    model = LTGNN(3, 4, 2, loss_fn=EGCFLoss(GuidedSoftmaxLoss(4, 2)))
    with pytest.raises(ValueError, match="take 'SoftmaxAtKLoss'"):
        ShardedRecommender(model, Partition(torch.ones(3), 4, 0, 1))


def torchrun(*args, **kwargs):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([*command, *map(str, args)], cwd=ROOT, **pipes, **kwargs)


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_it_goes_on(tmp_path):
    script = ["examples/distributed.py", "--max-epochs", 4]
    whole, resumed = tmp_path / "whole.json", tmp_path / "resumed.json"
    process = torchrun(*script, "--json", whole)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    folder = ["--folder", tmp_path / "run"]
    process = torchrun(*script, *folder)
    lines = []
    while not (lines and lines[-1].startswith("Epoch")):
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    )
    subprocess.run(["kill", f"-{signal.SIGKILL.value}", children.stdout.split()[-1]])
    text, _ = process.communicate(timeout=300)
    assert process.returncode != 0 and "Signal 9" in text, text
    (tmp_path / "text").write_text(text)
    process = torchrun(*script, *folder, "--resume", "--json", resumed)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    out, expected = (json.loads(path.read_text()) for path in (resumed, whole))
    for key in ("recall@20", "ndcg@20"):
        assert out[key] == pytest.approx(expected[key], abs=1e-6)


@pytest.mark.slow
def test_example_reports_what_each_process_holds(tmp_path):
    path = tmp_path / "out.json"
    process = torchrun("examples/distributed.py", "--max-epochs", 1, "--json", path)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert text.count("Refit, epoch  1") == 1  # Of the first process alone.
    out = json.loads(path.read_text())
    assert 0 < out["recall@20"] < 1 and out["world_size"] == 2
    assert len(out["peak_rss_mb"]) == len(out["baseline_rss_mb"]) == 2
    assert abs(out["interactions"][0] / sum(out["interactions"]) - 0.5) < 0.05
