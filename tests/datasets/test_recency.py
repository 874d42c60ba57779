from dataclasses import replace

import pytest
import torch

from ltgnn_pyg.datasets import Interactions, recency_weight


def _of(user, num_users=20, time=None):
    user = torch.as_tensor(user)
    return Interactions(user, torch.arange(user.numel()), num_users, 1000, time=time)


def test_equals_its_equation():
    user = torch.tensor([4, 1, 4, 4, 0, 1, 4])  # Some have none.
    weight = recency_weight(_of(user), half_life=0.2, floor=0.1)
    for b, u in enumerate(user.tolist()):
        of_user = (user == u).nonzero().flatten()
        age = (int((of_user > b).sum()) + 0.5) / of_user.numel()
        assert float(weight[b]) == pytest.approx(0.1 + 0.9 * 0.5 ** (age / 0.2))
    half = recency_weight(_of([0, 0]), half_life=0.25, floor=0.0)[1]
    assert float(half) == 0.5  # A quarter of the history old.


def test_times_give_the_order():
    x = _of(torch.randint(20, (500,)))
    x.item = torch.randperm(500)
    weight = recency_weight(x)
    perm = torch.randperm(500)
    timed = replace(x, time=1e9 + torch.arange(500, dtype=torch.double))
    torch.testing.assert_close(recency_weight(timed[perm]), weight[perm])
    # Of the same time, the later line is the later.
    assert torch.equal(recency_weight(replace(x, time=torch.zeros(500))), weight)


def test_limits():
    x = _of([0, 0, 1])
    assert recency_weight(x, floor=1.0).tolist() == [1.0] * 3
    assert recency_weight(x, half_life=1e9).tolist() == pytest.approx([1.0] * 3)
    assert recency_weight(x[:0]).tolist() == []


def test_door():
    x = _of([0, 0, 1])
    with pytest.raises(ValueError, match="half_life"):
        recency_weight(x, half_life=0.0)
    with pytest.raises(ValueError, match="floor"):
        recency_weight(x, floor=1.1)
