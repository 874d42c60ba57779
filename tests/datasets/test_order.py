from dataclasses import replace

import numpy as np
import pytest
import torch

from ltgnn_pyg.datasets import Interactions, recency_weight, split_given, split_ratio
from ltgnn_pyg.datasets.order import choose_order, sorted_lines


def _lines(lists, num_items):
    user = torch.cat([torch.full((len(x),), u) for u, x in enumerate(lists)])
    return Interactions(
        user,
        torch.tensor([i for x in lists for i in x], dtype=torch.long),
        len(lists),
        num_items,
    )


def _random(num_users, num_items, length, seed):
    rng = np.random.default_rng(seed)
    return [rng.permutation(num_items)[:length].tolist() for _ in range(num_users)]


def _by_time(x, seed=0):
    # Users come by turns.
    order = torch.rand(len(x), generator=torch.Generator().manual_seed(seed))
    rank = torch.cat([order[x.user == u].sort().values for u in range(x.num_users)])
    return x[rank.argsort()]


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("up", [True, False])
def test_sorted_lines_are_refused(contiguous, up):
    lists = [sorted(x, reverse=not up) for x in _random(60, 50, 12, 0)]
    x = _lines(lists, 50)
    x = x if contiguous else _by_time(x)
    assert contiguous == bool((x.user.diff() >= 0).all())
    assert sorted_lines(x)
    way_out = r"sorted by item.*pass order='random'.*'time'"
    with pytest.raises(ValueError, match=way_out):
        split_ratio(x, order="lines")
    with pytest.raises(ValueError, match=way_out):
        split_given(x[:500], x[500:], 0.1, order="lines")
    with pytest.raises(ValueError, match="recency_weight"):
        recency_weight(x)
    assert split_ratio(x, order="random").order == "random"
    timed = replace(x, time=torch.arange(len(x)))
    assert split_ratio(timed).order == "time"
    recency_weight(timed)
    # A few users out of order change nothing.
    mixed = [x[::-1] if u % 40 == 0 else x for u, x in enumerate(lists)]
    assert sorted_lines(_lines(mixed, 50))


@pytest.mark.parametrize("contiguous", [True, False])
def test_random_lines_are_not(contiguous):
    for seed in range(200):
        x = _lines(_random(30, 20, 6, seed), 20)
        x = x if contiguous else _by_time(x, seed)
        assert not sorted_lines(x)


def test_a_handful_is_never_refused():
    for num_users, length in [(1, 40), (20, 2), (10, 4), (5, 8), (0, 0)]:
        lists = [sorted(x) for x in _random(num_users, 40, length, 1)]
        assert not sorted_lines(_lines(lists or [[]], 40))


def test_numbers_given_in_order_of_lines_are_no_sign():
    # Items are numbered as they come, and most come once or twice: nearly all
    # neighbours rise though lines are in order of time.
    rng = np.random.default_rng(0)
    lists, num = [], 0
    for _ in range(400):
        new = rng.integers(6, 10)
        items = [*range(num, num + new)]
        if num:  # One more, known from before.
            items.insert(rng.integers(new + 1), int(rng.integers(num)))
        lists.append(items)
        num += new
    x = _lines(lists, num)
    rise = (x.item.diff() > 0)[x.user.diff() == 0].float().mean()
    assert rise > 0.85
    assert not sorted_lines(x)


def test_sorted_by_raw_ids():
    lists = [sorted(x) for x in _random(60, 150, 12, 0)]
    x = _lines(lists, 150)
    text = np.array([f"i{i}" for i in range(150)], dtype=object)
    perm = np.argsort(text)  # Read from a file: i0, i1, i10, i100, ...
    rank = torch.from_numpy(np.argsort(perm))
    read = replace(x, item=rank[x.item], item_ids=text[perm])
    rise = (read.item.diff() > 0)[read.user.diff() == 0].float().mean()
    assert rise < 0.95 and not sorted_lines(replace(read, item_ids=None))
    assert sorted_lines(read)
    # Raw ids in an order of their own.
    shuffled = torch.randperm(150)
    ids = np.empty(150, np.int64)
    ids[shuffled.numpy()] = np.arange(150) * 3
    assert sorted_lines(replace(x, item=shuffled[x.item], item_ids=ids))


def test_choice():
    x = _lines(_random(60, 50, 12, 0), 50)
    assert choose_order(x) == "random"
    assert choose_order(x, in_order=True) == "lines"
    by_id = _lines([sorted(i) for i in _random(60, 50, 12, 0)], 50)
    assert choose_order(by_id, in_order=True) == "random"
    timed = replace(x, time=torch.arange(len(x)))
    assert choose_order(timed) == choose_order(timed, in_order=True) == "time"
    # Times that are all the same tell nothing.
    assert choose_order(replace(x, time=torch.ones(len(x)))) == "random"
    assert choose_order(timed, "lines") == "lines"
