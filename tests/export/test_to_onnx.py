"""The graphs of ONNX make the lists of `top_k`."""

import sys

import numpy as np
import pytest
import torch

from ltgnn_pyg.export import to_onnx
from ltgnn_pyg.scorers import top_k

onnx = pytest.importorskip("onnx")


def lists(file, first, exclude, k):
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    feed = {name: first, "exclude": exclude, "k": np.array([k])}
    scores, items = session.run(["scores", "items"], feed)
    return torch.from_numpy(scores), torch.from_numpy(items)


def padded(seen, user):
    """What each of some users has taken, with -1 at the end of short rows."""
    rowptr, col = seen
    rows = [col[rowptr[u] : rowptr[u + 1]] for u in user.tolist()]
    return torch.nn.utils.rnn.pad_sequence(rows, True, -1).numpy()


def assert_lists(found, expected):
    torch.testing.assert_close(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize("large", [False, True], ids=["one file", "tables beside"])
def test_lists_are_those_of_torch(run, tmp_path, monkeypatch, large):
    if large:
        module = sys.modules["ltgnn_pyg.export.to_onnx"]
        monkeypatch.setattr(module, "LARGEST", 100)
    files = to_onnx(run, tmp_path / "out")
    names = ["users.onnx", "vectors.onnx"]
    assert [f.name for f in files] == (["tables.bin"] if large else []) + names
    for file in files[-2:]:
        onnx.checker.check_model(file, full_check=True)
    by_user, by_vector = files[-2:]
    assert not large or by_user.stat().st_size < 3000
    for user in (torch.arange(23), torch.tensor([7]), torch.tensor([3, 3, 0])):
        exclude = padded(run.seen, user)
        for k in (1, 5, 37, 50):  # The last is more than there are items.
            expected = top_k(run.vectors, k, user=user, exclude=run.seen)
            assert_lists(lists(by_user, user.numpy(), exclude, k), expected)
            rows = run.vectors.user[user].numpy()
            assert_lists(lists(by_vector, rows, exclude, k), expected)
        none = np.empty((len(user), 0), np.int64)
        expected = top_k(run.vectors, 5, user=user)
        assert_lists(lists(by_user, user.numpy(), none, 5), expected)


def test_less_than_k_items_are_told_apart(run, tmp_path):
    file = to_onnx(run, tmp_path)[0]
    exclude = np.stack([np.arange(37), np.full(37, -1)])
    exclude[0, [5, 9]] = -1  # These two are left.
    scores, items = lists(file, np.array([0, 1]), exclude, 6)
    assert set(items[0, :2].tolist()) == {5, 9} and (items[0, 2:] == -1).all()
    assert scores[0, :2].isfinite().all() and (scores[0, 2:] == -torch.inf).all()
    assert (items[1] >= 0).all() and scores[1].isfinite().all()


def test_without_onnx_its_extra_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"ltgnn_pyg\[export\]"):
        to_onnx(run, tmp_path)
