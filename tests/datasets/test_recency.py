import pytest
import torch

from ltgnn_pyg.datasets import recency_weight


def test_equals_its_equation():
    user = torch.tensor([4, 1, 4, 4, 0, 1, 4])  # One has none: 2, 3.
    weight = recency_weight(user, half_life=0.2, floor=0.1)
    for b, u in enumerate(user.tolist()):
        of_user = (user == u).nonzero().flatten()
        age = (int((of_user > b).sum()) + 0.5) / of_user.numel()
        assert float(weight[b]) == pytest.approx(0.1 + 0.9 * 0.5 ** (age / 0.2))
    half = recency_weight(torch.zeros(2).long(), half_life=0.25, floor=0.0)[1]
    assert float(half) == 0.5  # A quarter of the history old.


def test_times_give_the_order():
    user = torch.randint(20, (500,))
    weight = recency_weight(user)
    perm = torch.randperm(500)
    time = 1e9 + torch.arange(500, dtype=torch.double)
    torch.testing.assert_close(recency_weight(user[perm], time[perm]), weight[perm])
    assert torch.equal(recency_weight(user, torch.zeros(500)), weight)


def test_limits():
    user = torch.tensor([0, 0, 1])
    assert recency_weight(user, floor=1.0).tolist() == [1.0] * 3
    assert recency_weight(user, half_life=1e9).tolist() == pytest.approx([1.0] * 3)
    assert recency_weight(user[:0]).tolist() == []


def test_bad_arguments():
    user = torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match="half_life"):
        recency_weight(user, half_life=0.0)
    with pytest.raises(ValueError, match="floor"):
        recency_weight(user, floor=1.1)
    with pytest.raises(ValueError, match=r"\[3\], got \[2\]"):
        recency_weight(user, torch.zeros(2))
