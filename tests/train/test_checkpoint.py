import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.optim.lr_scheduler import ExponentialLR, StepLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from ltgnn_pyg import Graph, History
from ltgnn_pyg.sampler import ItemNegativeSampling
from ltgnn_pyg.train.checkpoint import load_checkpoint, save_checkpoint

SCRIPT = """
import os, signal, sys
import torch
from tests.train.test_checkpoint import train

kill, path, workers = sys.argv[1:]
real_save = torch.save

def save(content, file):
    if kill == "while saving" and content["epoch"] == 2:
        file.write(b"PK half a checkpoint")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    real_save(content, file)

torch.save = save
train(path, int(workers), lambda epoch: kill == "between epochs" and epoch == 2
      and os.kill(os.getpid(), signal.SIGKILL))
"""


def train(path, num_workers=0, after_epoch=lambda epoch: None, epochs=4):
    """A run of one of each kind of object that goes on from its checkpoint."""
    num_users, num_items = 30, 20
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    user, item = (torch.rand(num_users, num_items) < 0.3).nonzero().t()
    pairs = torch.stack([user, item + num_users])
    negative = ItemNegativeSampling(
        num_users, num_items, edge_index=pairs, reject_seen=True, generator=generator
    )
    loader = DataLoader(
        pairs.t(), 16, shuffle=True, generator=generator, num_workers=num_workers
    )
    model = torch.nn.Embedding(num_users + num_items, 4, sparse=True)
    average = AveragedModel(model)
    optimizer = torch.optim.SparseAdam(model.parameters(), lr=0.01)
    scheduler = ExponentialLR(optimizer, 0.9)
    state = {
        "model": model,
        "average": average,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "generator": generator,
    }
    done = 0
    if os.path.exists(path):
        done = load_checkpoint(path, **state)["epoch"]
    for epoch in range(done + 1, epochs + 1):
        for user, item in (batch.t() for batch in loader):
            optimizer.zero_grad()
            score = model(user) * (model(item) - model(negative.sample_for(user)))
            loss = -logsigmoid(score.sum(1) + torch.rand(())).mean()
            loss.backward()
            optimizer.step()
        average.update_parameters(model)
        scheduler.step()
        save_checkpoint(path, **state, epoch=epoch)
        after_epoch(epoch)
    return state


def assert_same(a, b):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kill", ["between epochs", "while saving"])
def test_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, kill, num_workers):
    path = tmp_path / "killed.ckpt"
    command = [sys.executable, "-c", SCRIPT, kill, str(path), str(num_workers)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    done = load_checkpoint(path)["epoch"]
    assert done == {"between epochs": 2, "while saving": 1}[kill]
    train(path, num_workers)
    train(tmp_path / "whole.ckpt", num_workers)
    resumed, whole = load_checkpoint(path), load_checkpoint(tmp_path / "whole.ckpt")
    assert resumed["epoch"] == 4
    assert_same(resumed, whole)


def test_torch_reads_it(tmp_path):
    model = torch.nn.Linear(2, 3)
    save_checkpoint(tmp_path / "a.ckpt", model=model)
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["model"]
    assert_same(saved, dict(model.state_dict()))


def test_restores_global_generators(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", epoch=1)
    expected = torch.rand(3)
    assert load_checkpoint(tmp_path / "a.ckpt") == {"epoch": 1}
    assert torch.equal(torch.rand(3), expected)


def test_filled_history_into_an_empty_one(tmp_path, graph):
    def history():
        return torch.nn.ModuleDict({"history": History(graph.num_nodes, 3)})

    filled, empty = history(), history()
    output = torch.randn(graph.num_nodes, 3)
    filled["history"].refresh(Graph.from_data(graph), output)
    save_checkpoint(tmp_path / "empty.ckpt", model=empty)
    save_checkpoint(tmp_path / "filled.ckpt", model=filled)
    load_checkpoint(tmp_path / "filled.ckpt", model=empty)
    assert_same(dict(empty.state_dict()), dict(filled.state_dict()))
    load_checkpoint(tmp_path / "empty.ckpt", model=filled)
    assert set(filled.state_dict()) == {"history._extra_state"}


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, epoch=1, model=torch.nn.Linear(2, 2))
    whole = path.read_bytes()
    with open(path, "r+b", buffering=0) as file:
        for byte in range(len(whole)):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([whole[byte] ^ 1 << bit]), byte)
                with pytest.raises(ValueError, match="checkpoint"):
                    load_checkpoint(path)
            os.pwrite(file.fileno(), whole[byte : byte + 1], byte)
    assert load_checkpoint(path)["epoch"] == 1


def test_cut_or_longer_files_are_noticed(tmp_path):
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, epoch=1)
    whole = path.read_bytes()
    for length in (0, 1, 30, 60, len(whole) // 2, len(whole) - 33, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut short"):
            load_checkpoint(path)
    for part in (whole[1:], whole[:100] + whole[101:], whole[:100] + whole[99:]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match="damaged"):
            load_checkpoint(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="another file"):
        load_checkpoint(path)


class Picky:
    """Takes its state in, then complains of what it does not like."""

    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]
        if self.value < 0:
            raise RuntimeError("below zero")


class Versioned(torch.nn.Linear):
    """A module that refuses its extra state after its tensors are loaded."""

    version = 1

    def get_extra_state(self):
        return self.version

    def set_extra_state(self, version):
        if version != self.version:
            raise RuntimeError("another version")


def run(seed=0, sizes=(3, 2), scheduler=ExponentialLR, picky=5, model=Versioned):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, sizes[0]), model(sizes[0], sizes[1]))
    average = AveragedModel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1 + seed)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(6, 4)).sum().backward()
        optimizer.step()
        average.update_parameters(model)
    return {
        "model": model,
        "average": average,
        "optimizer": optimizer,
        "scheduler": scheduler(optimizer, 2),
        "generator": torch.Generator().manual_seed(seed),
        "picky": Picky(picky),
    }


def snapshot(state):
    return {
        name: clone(
            value.get_state()
            if isinstance(value, torch.Generator)
            else value.state_dict()
        )
        for name, value in state.items()
    }


def clone(value):
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: clone(part) for key, part in value.items()}
    return [clone(x) for x in value] if isinstance(value, (list, tuple)) else value


def test_restores_all_kinds(tmp_path):
    saved, other = run(0), run(1)
    save_checkpoint(tmp_path / "a.ckpt", **saved, epoch=3, best={"recall": [0.5]})
    rest = load_checkpoint(tmp_path / "a.ckpt", **other)
    assert rest == {"epoch": 3, "best": {"recall": [0.5]}}
    assert_same(snapshot(saved), snapshot(other))


def broken(saved, name):
    """The saved run, one object of which does not fit."""
    if name == "missing name":
        del saved["average"]
    elif name == "picky":
        saved["picky"].value = -1
    elif name == "generator":
        saved["generator"] = Picky(3)
    elif name == "scheduler":
        saved["scheduler"] = StepLR(saved["optimizer"], 2)
    elif name == "groups":
        saved["optimizer"].add_param_group(
            {"params": [torch.nn.Parameter(torch.ones(1))]}
        )
    elif name == "moments":
        next(iter(saved["optimizer"].state.values()))["exp_avg"] = torch.ones(7, 4)
    elif name == "shape":
        saved["model"] = run(sizes=(3, 5))["model"]
    elif name == "shape of the average":
        saved["average"] = run(sizes=(3, 5))["average"]
    elif name == "keys":
        saved["model"] = torch.nn.Sequential(saved["model"][0])
    elif name == "more keys":
        saved["model"].append(torch.nn.Linear(2, 2))
    elif name == "extra state":
        saved["model"][1].version = 2
    elif name == "number":
        saved["model"] = Picky(3)
    return saved


@pytest.mark.parametrize(
    "name",
    [
        "missing name",
        "picky",
        "generator",
        "scheduler",
        "groups",
        "moments",
        "shape",
        "shape of the average",
        "keys",
        "more keys",
        "extra state",
        "number",
    ],
)
def test_a_failed_load_changes_nothing(tmp_path, name):
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, **broken(run(0), name))
    for order in (1, -1):
        state = dict(list(run(1).items())[::order])
        before, rng = snapshot(state), torch.get_rng_state()
        with pytest.raises(ValueError, match="Expected"):
            load_checkpoint(path, **state)
        assert_same(before, snapshot(state))
        assert torch.equal(rng, torch.get_rng_state())


def test_plain_values_are_returned_not_loaded_into(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", epoch=1)
    with pytest.raises(ValueError, match="plain values are returned"):
        load_checkpoint(tmp_path / "a.ckpt", epoch=0)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "a.ckpt"
    with pytest.raises(FileNotFoundError):
        load_checkpoint(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"a\.ckpt' \(got another file"):
        load_checkpoint(path)
    torch.save({"weight": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"a\.ckpt' \(got another file"):
        load_checkpoint(path)
    save_checkpoint(path, epoch=1)
    with pytest.raises(ValueError, match=r"Expected \['model'\] in"):
        load_checkpoint(path, model=torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="is taken"):
        save_checkpoint(path, global_generators=1)
    for value in (np.float64(1.0), {"a": [path]}, np.ones(2)):
        with pytest.raises(ValueError, match="could not be loaded safely"):
            save_checkpoint(path, epoch=1, extra=value)
    assert load_checkpoint(path) == {"epoch": 1}  # The old one is still there.
