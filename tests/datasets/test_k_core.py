from collections import Counter

import numpy as np
import pytest
import torch

from ltgnn_pyg.datasets import Interactions, k_core, synthetic_interactions


def _slow(pairs, k):
    """The core by the book: take one poor node away at a time."""
    left = list(pairs)
    while True:
        users, items = (Counter(ends) for ends in zip(*left, strict=True) or ((), ()))
        poor_user = min((u for u in users if users[u] < k), default=None)
        poor_item = min((i for i in items if items[i] < k), default=None)
        if poor_user is not None:
            left = [pair for pair in left if pair[0] != poor_user]
        elif poor_item is not None:
            left = [pair for pair in left if pair[1] != poor_item]
        if not left or poor_user is poor_item is None:
            return left


def _raw(out):
    user, item = out.user_ids[out.user], out.item_ids[out.item]
    return list(zip(user.tolist(), item.tolist(), strict=True))


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_equals_a_slow_reference(k):
    data = synthetic_interactions(60, 40, 600, seed=k)
    data = data[torch.randperm(len(data))]
    data.rating = torch.rand(len(data))
    data.time = torch.arange(len(data))
    pairs = list(zip(data.user.tolist(), data.item.tolist(), strict=True))
    out = k_core(data, k)
    expected = _slow(pairs, k)
    assert 0 < len(expected) and (k < 5 or len(expected) < len(data))
    assert _raw(out) == expected  # Also in the order they came in.
    assert [pairs[t] for t in out.time.tolist()] == expected
    assert torch.equal(out.rating, data.rating[out.time])
    for index, num in ((out.user, out.num_users), (out.item, out.num_items)):
        assert int(torch.bincount(index, minlength=num).min()) >= k


def test_raw_ids_and_a_chain_of_many_rounds():
    # A 2-core of users d, e and items y, z, and a tail that falls link by link.
    pairs = "dy dz ey ez ax bx bw cw cy".split()
    user_ids, item_ids = np.array(list("abcde")), np.array(list("wxyz"), dtype=object)
    data = Interactions(
        torch.tensor([user_ids.tolist().index(u) for u, _ in pairs]),
        torch.tensor([item_ids.tolist().index(i) for _, i in pairs]),
        5,
        4,
        user_ids,
        item_ids,
    )
    out = k_core(data, 2)
    assert _raw(out) == [tuple(pair) for pair in pairs[:4]]
    assert out.user_ids.tolist() == ["d", "e"] and out.item_ids.tolist() == ["y", "z"]
    assert (out.num_users, out.num_items) == (2, 2)
    assert (data.num_users, len(data)) == (5, 9)  # What came in stays as it was.


def test_nothing_to_drop_but_unused_ids():
    data = Interactions(torch.tensor([2, 2]), torch.tensor([0, 3]), 3, 5)
    out = k_core(data, 1)
    assert _raw(out) == [(2, 0), (2, 3)]
    assert (out.num_users, out.num_items) == (1, 2)


def test_door():
    data = Interactions(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2, 2)
    with pytest.raises(ValueError, match=r"at least 2 .*none left of 3\); lower k"):
        k_core(data, 2)
    with pytest.raises(ValueError, match=r"k >= 1 \(got 0"):
        k_core(data, 0)
