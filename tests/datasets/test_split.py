from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from ltgnn_pyg.datasets import (
    Interactions,
    Split,
    split_given,
    split_leave_one_out,
    split_ratio,
    split_temporal,
    synthetic_interactions,
)
from ltgnn_pyg.graph import Graph


def _interactions(pairs, time=None, num_users=None, num_items=None):
    user, item = torch.tensor(pairs).view(-1, 2).t().contiguous()
    num_users = num_users or int(user.max()) + 1
    num_items = num_items or int(item.max()) + 1
    time = None if time is None else torch.tensor(time)
    return Interactions(user, item, num_users, num_items, time=time)


@pytest.fixture(scope="module")
def interactions():
    out = synthetic_interactions(40, 30, 400, seed=1)
    out = out[torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    out.time = torch.arange(400) // 3
    return out


def _pairs(part):
    return list(zip(part.user.tolist(), part.item.tolist(), strict=True))


def _parts(split):
    return split.train, split.val, split.test


def _rows(part):
    # All that an interaction is, raw ids included.
    columns = [
        part.user if part.user_ids is None else part.user_ids[part.user.numpy()],
        part.item if part.item_ids is None else part.item_ids[part.item.numpy()],
        *(x for x in (part.rating, part.time) if x is not None),
    ]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _check(split, interactions):
    # Disjoint, complete, nothing lost, each part in the order of the lines, and the
    # graph is the training part alone.
    rows = [_rows(part) for part in _parts(split)]
    place = {row: i for i, row in enumerate(_rows(interactions))}
    assert sorted(row for part in rows for row in part) == sorted(place)
    assert all(
        [place[r] for r in part] == sorted(map(place.get, part)) for part in rows
    )
    for part in _parts(split):
        assert part.num_users == interactions.num_users
        assert part.num_items == interactions.num_items
        assert (part.time is None) == (interactions.time is None)
    graph = Graph.from_interactions(split.train)
    nodes = set(map(tuple, graph.to_data().edge_index.t().tolist()))
    assert len(nodes) == 2 * len(split.train)
    for part in (split.val, split.test):
        assert not nodes & set(map(tuple, graph.pairs(part).t().tolist()))


def _degree(part, num_users=40):
    return torch.bincount(part.user, minlength=num_users)


@pytest.fixture(scope="module")
def full(interactions):
    """The same with raw ids, ratings and times that are not those of the lines."""
    generator = torch.Generator().manual_seed(2)
    return replace(
        interactions,
        user_ids=np.array([f"u{u}" for u in range(40)], dtype=object),
        item_ids=np.arange(30) * 7,
        rating=torch.rand(400, generator=generator),
        time=torch.randint(100, (400,), generator=generator),
    )


@pytest.mark.parametrize("order", ["time", "lines", "random", None])
@pytest.mark.parametrize(
    "cut",
    [
        lambda x, order, seed: split_given(x[:300], x[300:], 0.2, order, seed),
        lambda x, order, seed: split_ratio(x, order=order, seed=seed),
        lambda x, order, seed: split_leave_one_out(x, order=order, seed=seed),
        lambda x, order, seed: split_temporal(x),
    ],
)
def test_parts(full, cut, order):
    before = torch.get_rng_state()
    split = cut(full, order, 5)
    assert torch.get_rng_state().equal(before)
    _check(split, full)
    assert split.order == (order or "time") or split.order == "time"
    again = cut(full, order, 5)
    assert _pairs(split.val) == _pairs(again.val)
    assert (_pairs(cut(full, order, 6).val) != _pairs(split.val)) == (
        split.order == "random"
    )
    untimed = replace(full, time=None)
    if split.order != "time":
        _check(cut(untimed, order, 5), untimed)


def test_given(interactions):
    train, test = interactions[:300], interactions[300:]
    split = split_given(train, test)
    assert _rows(split.train) == _rows(train) and _rows(split.test) == _rows(test)
    assert len(split.val) == 0

    split = split_given(train, test, val_ratio=0.25, order="random")
    degree = torch.bincount(train.user, minlength=40)
    rounded = (0.25 * degree + 0.5).long()  # halves are rounded up
    expected = torch.minimum(rounded, degree - 1).clamp(min=0)
    assert _degree(split.val).equal(expected)
    assert _rows(split.test) == _rows(test)
    # Times of the test part are not needed.
    split = split_given(train, replace(test, time=None), val_ratio=0.25)
    assert split.order == "time" and split.test.time is None
    assert split.val.time is not None


def test_given_unites_ids():
    train, test = _interactions([(0, 1), (1, 0)]), _interactions([(2, 4)])
    split = split_given(train, test)
    for part in _parts(split):
        assert (part.num_users, part.num_items) == (3, 5)
    assert _pairs(split.test) == [(2, 4)]  # neither has a training edge
    assert Graph.from_interactions(split.train).num_nodes == 8
    train = replace(train, user_ids=np.array([5, 9]), item_ids=np.array([3, 4]))
    test = _interactions([(0, 0)])
    test = replace(test, user_ids=np.array([7]), item_ids=np.array([4]))
    split = split_given(train, test)
    assert _rows(split.train) == [(5, 4), (9, 3)] and _rows(split.test) == [(7, 4)]
    for part in _parts(split):
        assert part.user_ids.tolist() == [5, 7, 9]
        assert part.item_ids.tolist() == [3, 4]


def test_test_never_enters_the_graph():
    train = _interactions([(0, 0), (0, 1), (1, 1)])
    test = _interactions([(1, 0), (0, 1), (1, 0)])
    with pytest.raises(
        ValueError, match=r"got 2 repeated, first user 0 with item 1\);"
    ):
        split_given(train, test)
    split = split_given(train, test, duplicates="drop")
    assert _pairs(split.train) == [(0, 0), (0, 1), (1, 1)]
    assert _pairs(split.test) == [(1, 0)]
    repeated = _interactions([(0, 0), (1, 0), (0, 0)], time=[1, 2, 3])
    for cut in (split_ratio, split_leave_one_out, split_temporal):
        with pytest.raises(ValueError, match=r"distinct pairs \(got 1 repeated"):
            cut(repeated)


@pytest.mark.parametrize("ratios", [(0.2, 0.1), (0.5, 0.4), (0.0, 0.3), (0.9, 0.0)])
def test_ratio(interactions, ratios):
    split = split_ratio(interactions, *ratios)
    degree = torch.bincount(interactions.user, minlength=40)
    num_test = torch.minimum((ratios[0] * degree.double() + 0.5).long(), degree - 1)
    num_val = (ratios[1] * degree.double() + 0.5).long()
    num_val = torch.minimum(num_val, degree - 1 - num_test)
    assert _degree(split.test).equal(num_test)
    assert _degree(split.val).equal(num_val)
    assert _degree(split.train).min() >= 1


@pytest.mark.parametrize("timed", [True, False])
def test_ratio_in_order(interactions, timed):
    # Lines of a user are not next to each other, and times not in order of lines.
    assert (interactions.user.diff() != 0).sum() > 300
    if timed:
        interactions = interactions[torch.randperm(len(interactions))]
        split = split_ratio(interactions, 0.2, 0.1)
        assert split.order == "time"
        key = [(t, line) for line, t in enumerate(interactions.time.tolist())]
    else:
        split = split_ratio(interactions, 0.2, 0.1, order="lines")
        key = list(range(len(interactions)))
    key = dict(zip(_pairs(interactions), key, strict=True))
    random = split_ratio(interactions, 0.2, 0.1, order="random")
    for one, other in zip(_parts(split), _parts(random), strict=True):
        assert _degree(one).equal(_degree(other))
    for user in range(interactions.num_users):  # Train, then validation, then test.
        keys = [
            [key[p] for p in _pairs(part) if p[0] == user] for part in _parts(split)
        ]
        for earlier, later in pairwise(part for part in keys if part):
            assert max(earlier) < min(later)


def test_ties_in_time_go_by_lines():
    pairs = [(0, 4), (0, 1), (0, 3), (0, 0), (0, 2)]
    x = _interactions(pairs, time=[7, 7, 7, 9, 7])
    split = split_ratio(x, 0.2, 0.2)
    assert _pairs(split.test) == [(0, 0)] and _pairs(split.val) == [(0, 2)]
    split = split_leave_one_out(x[:3], order="time")
    assert _pairs(split.test) == [(0, 3)] and _pairs(split.val) == [(0, 1)]


def test_joined_parts_stay_in_order(full):
    split = split_ratio(full, 0.2, 0.2, order="lines")
    joined = Interactions.cat(split.train, split.val)
    place = {pair: line for line, pair in enumerate(_pairs(full))}
    for user in range(40):
        lines = [place[pair] for pair in _pairs(joined) if pair[0] == user]
        assert lines == sorted(lines)
    # Refit on train and validation is a split like the one that has no validation.
    refit = split_ratio(full, 0.2, 0.0, order="lines")
    assert sorted(_rows(joined)) == sorted(_rows(refit.train))


def test_ratio_is_uniform():
    # Each of four items is the one tested on equally often.
    pairs = [(u, i) for u in range(4000) for i in range(4)]
    split = split_ratio(_interactions(pairs), test_ratio=0.25, val_ratio=0.25)
    assert split.order == "random"
    for part in (split.val, split.test):
        count = torch.bincount(part.item)
        assert count.sum() == 4000 and (count - 1000).abs().max() < 150  # > 5 sigma


def test_leave_one_out_by_time():
    pairs = [(0, 0), (0, 1), (0, 2), (1, 3), (2, 1), (2, 0)]
    x = _interactions(pairs, time=[5, 9, 7, 1, 4, 3])
    split = split_leave_one_out(x)
    assert _pairs(split.test) == [(0, 1), (2, 1)]
    assert _pairs(split.val) == [(0, 2)]
    assert _pairs(split.train) == [(0, 0), (1, 3), (2, 0)]
    _check(split, x)
    split = split_leave_one_out(x, val=False)
    assert _pairs(split.test) == [(0, 1), (2, 1)] and len(split.val) == 0
    split = split_leave_one_out(x, order="lines")
    assert _pairs(split.test) == [(0, 2), (2, 0)] and _pairs(split.val) == [(0, 1)]


def test_leave_one_out_at_random(interactions):
    interactions = replace(interactions, time=None)
    degree = torch.bincount(interactions.user)
    split = split_leave_one_out(interactions)
    assert split.order == "random"
    assert _degree(split.test).equal((degree > 1).long())
    assert _degree(split.val).equal((degree > 2).long())
    other = split_leave_one_out(interactions, seed=1)
    assert _pairs(split.test) != _pairs(other.test)


def test_temporal():
    pairs = [(0, i) for i in range(10)]
    time = [3, 9, 1, 7, 5, 0, 2, 8, 6, 4]
    split = split_temporal(_interactions(pairs, time), 0.2, 0.3)
    assert sorted(split.test.time.tolist()) == [8, 9]
    assert sorted(split.val.time.tolist()) == [5, 6, 7]
    assert sorted(split.train.time.tolist()) == [0, 1, 2, 3, 4]
    assert split.order == "time"
    # Equal times stay together, in the later part.
    time = [0, 0, 1, 1, 1, 1, 1, 2, 2, 2]
    split = split_temporal(_interactions(pairs, time), 0.1, 0.3)
    assert [len(part) for part in _parts(split)] == [2, 5, 3]
    split = split_temporal(_interactions(pairs, time), 0.1, 0.0)
    assert [len(part) for part in _parts(split)] == [7, 0, 3]
    with pytest.raises(ValueError, match=r"interactions to train on \(got 0 of 10"):
        split_temporal(_interactions(pairs, [1] * 10))
    with pytest.raises(ValueError, match="Expected interactions with 'time'"):
        split_temporal(_interactions(pairs))


def test_door(interactions):
    for test_ratio, val_ratio in [(-0.1, 0.1), (0.5, 0.5), (0.1, -0.1)]:
        for cut in (split_ratio, split_temporal):
            with pytest.raises(ValueError, match="shares >= 0 with a sum < 1"):
                cut(interactions, test_ratio, val_ratio)
    with pytest.raises(ValueError, match=r"'val_ratio': 1\.0"):
        split_given(interactions[:9], interactions[9:], val_ratio=1.0)
    with pytest.raises(ValueError, match="duplicates='error' or 'drop'"):
        split_given(interactions[:9], interactions[9:], duplicates="keep")
    with pytest.raises(ValueError, match=r"order to be one of .*got 'last'"):
        split_ratio(interactions, order="last")
    untimed = replace(interactions, time=None)
    for cut in (split_ratio, split_leave_one_out):
        with pytest.raises(ValueError, match=r"order='time' .*read_interactions"):
            cut(untimed, order="time")
    with pytest.raises(ValueError, match="same users and items"):
        Split(untimed, untimed, replace(untimed, num_items=99))
    with pytest.raises(ValueError, match="order to be one of"):
        Split(untimed, untimed, untimed, order="last")


def test_given_split_validates_on_the_last_of_each_user():
    user = torch.tensor([0, 0, 1, 0, 0, 1, 2])  # Not next to each other.
    item = torch.tensor([4, 2, 1, 3, 0, 0, 2])
    train = Interactions(user, item, 3, 5)
    test = Interactions(torch.tensor([0]), torch.tensor([1]), 3, 5)
    split = split_given(train, test, val_ratio=0.3, order="lines")
    assert _pairs(split.val) == [(0, 0), (1, 0)]
    split = split_given(train, test, val_ratio=0.5, order="lines")
    assert _pairs(split.val) == [(0, 3), (0, 0), (1, 0)]
    assert split_given(train, test, val_ratio=0.5).order == "random"
    timed = replace(train, time=torch.tensor([9, 1, 1, 1, 1, 1, 1]))
    split = split_given(timed, test, val_ratio=0.3)
    assert split.order == "time" and _pairs(split.val) == [(0, 4), (1, 0)]


def test_known():
    split = split_leave_one_out(
        Interactions(
            torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 0, 1]), 2, 3,
            time=torch.arange(5), weight=torch.arange(1.0, 6.0),
        )
    )  # fmt: skip
    known = split.known
    assert len(known) == len(split.train) + len(split.val)
    assert torch.equal(known.item, torch.cat([split.train.item, split.val.item]))
    assert torch.equal(known.weight, torch.cat([split.train.weight, split.val.weight]))
    assert known.time.max() < split.test.time.max()
