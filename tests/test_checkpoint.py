import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from ltgnn_pyg import LTGNN, ItemNegativeSampling, VRNeighborLoader
from ltgnn_pyg.checkpoint import load_checkpoint, save_checkpoint
from ltgnn_pyg.datasets import split_ratio, synthetic_interactions

SCRIPT = """
import os, signal, sys
import torch
from tests.test_checkpoint import train

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
    """A run that goes on from its checkpoint, if there is one."""
    torch.set_num_threads(2)
    data, split = split_ratio(synthetic_interactions(300, 200, 4000))
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = LTGNN(data.num_users, data.num_items, 32, gradient="corrected")
    neg = ItemNegativeSampling(
        data.num_users, data.num_items, 3, edge_index=split.train, reject_seen=True
    )
    loader = VRNeighborLoader(
        data,
        model.history,
        3,
        split.train,
        neg_sampling=neg,
        generator=generator,
        num_workers=num_workers,
    )
    optimizer = torch.optim.SparseAdam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    state = {
        "model": model,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "generator": generator,
    }
    done = 0
    if os.path.exists(path):
        done = load_checkpoint(path, **state)["epoch"]
    for epoch in range(done + 1, epochs + 1):
        model.refresh(loader.adj_t)
        for batch in loader:
            optimizer.zero_grad()
            loss = model.loss(batch) + 0 * torch.rand(())
            loss.backward()
            optimizer.step()
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
    done = torch.load(path, weights_only=True)["epoch"]
    assert done == {"between epochs": 2, "while saving": 1}[kill]
    train(path, num_workers)
    train(tmp_path / "whole.ckpt", num_workers)
    resumed, whole = (
        torch.load(p, weights_only=True) for p in (path, tmp_path / "whole.ckpt")
    )
    assert resumed["epoch"] == 4
    assert_same(resumed, whole)


def test_restores_global_generators(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", epoch=1)
    expected = torch.rand(3)
    assert load_checkpoint(tmp_path / "a.ckpt") == {"epoch": 1}
    assert torch.equal(torch.rand(3), expected)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "a.ckpt"
    with pytest.raises(FileNotFoundError):
        load_checkpoint(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be read"):
        load_checkpoint(path)
    torch.save({"weight": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="something else"):
        load_checkpoint(path)
    save_checkpoint(path, epoch=1)
    with pytest.raises(ValueError, match=r"Expected \['model'\] in"):
        load_checkpoint(path, model=torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="which is taken"):
        save_checkpoint(path, global_generators=1)
    for value in (np.float64(1.0), {"a": [path]}, np.ones(2)):
        with pytest.raises(ValueError, match="could not be loaded safely"):
            save_checkpoint(path, epoch=1, extra=value)
    assert load_checkpoint(path) == {"epoch": 1}  # The old one is still there.
