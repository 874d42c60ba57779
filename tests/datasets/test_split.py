from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from ltgnn_pyg.datasets import (
    Interactions,
    split_given,
    split_leave_one_out,
    split_ratio,
    split_temporal,
    synthetic_interactions,
)


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


def _set(edge_label_index):
    return set(zip(*edge_label_index.tolist(), strict=True))


def _check(data, split, interactions):
    # Disjoint, complete, in node ids, and the graph is the training part alone.
    parts = [_set(part) for part in (split.train, split.val, split.test)]
    num_edges = split.train.size(1)
    assert sum(map(len, parts)) == len(interactions)
    assert set.union(*parts) == _set(interactions.edge_label_index)
    assert data.edge_index[:, :num_edges].equal(split.train)
    assert data.edge_index[:, num_edges:].equal(split.train.flip(0))
    assert not _set(data.edge_index) & (parts[1] | parts[2])
    assert not _set(data.edge_index.flip(0)) & (parts[1] | parts[2])
    assert data.num_nodes == data.num_users + data.num_items
    assert not {"edge_label", "edge_label_index", "y"} & set(data.keys())
    for part in (split.train, split.val, split.test):
        assert part.dtype == torch.long and part.dim() == 2 and part.size(0) == 2
    return parts


def _degree(part, num_users=40):
    return torch.bincount(part[0], minlength=num_users)


@pytest.mark.parametrize(
    "cut",
    [
        lambda x, seed: split_given(x[:300], x[300:], 0.2, seed),
        lambda x, seed: split_ratio(x, seed=seed),
        lambda x, seed: split_leave_one_out(x, seed=seed),
        lambda x, seed: split_temporal(x),
    ],
)
def test_parts(interactions, cut):
    before = torch.get_rng_state()
    data, split = cut(interactions, 5)
    assert torch.get_rng_state().equal(before)
    _check(data, split, interactions)
    again = cut(interactions, 5)[1]
    assert split.train.equal(again.train) and split.val.equal(again.val)
    # Parts keep the order of the interactions.
    key = interactions.user * 100 + interactions.item
    for part in (split.train, split.val, split.test):
        part_key = part[0] * 100 + part[1] - interactions.num_users
        assert part_key.equal(key[torch.isin(key, part_key)])


def test_given(interactions):
    train, test = interactions[:300], interactions[300:]
    _, split = split_given(train, test)
    assert split.train.equal(train.edge_label_index)
    assert split.test.equal(test.edge_label_index)
    assert split.val.size() == (2, 0)

    _, split = split_given(train, test, val_ratio=0.25)
    degree = torch.bincount(train.user, minlength=40)
    rounded = (0.25 * degree + 0.5).long()  # halves are rounded up
    expected = torch.minimum(rounded, degree - 1).clamp(min=0)
    assert _degree(split.val).equal(expected)
    assert split.test.equal(test.edge_label_index)
    other = split_given(train, test, val_ratio=0.25, seed=1)[1]
    assert not split.val.equal(other.val)


def test_given_unites_sizes():
    train, test = _interactions([(0, 1), (1, 0)]), _interactions([(2, 4)])
    data, split = split_given(train, test)
    assert (data.num_users, data.num_items) == (3, 5)
    assert split.test.tolist() == [[2], [7]]  # neither has a training edge
    assert split.train.tolist() == [[0, 1], [4, 3]]


def test_test_never_enters_the_graph():
    train = _interactions([(0, 0), (0, 1), (1, 1)])
    test = _interactions([(1, 0), (0, 1), (1, 0)])
    with pytest.raises(ValueError, match="got 2 repeated, first user 0 with item 1;"):
        split_given(train, test)
    data, split = split_given(train, test, duplicates="drop")
    assert split.train.tolist() == [[0, 0, 1], [2, 3, 3]]
    assert split.test.tolist() == [[1], [2]]
    assert not _set(data.edge_index) & _set(split.test)
    repeated = _interactions([(0, 0), (1, 0), (0, 0)], time=[1, 2, 3])
    for cut in (split_ratio, split_leave_one_out, split_temporal):
        with pytest.raises(ValueError, match="distinct pairs, got 1 repeated"):
            cut(repeated)


@pytest.mark.parametrize("ratios", [(0.2, 0.1), (0.5, 0.4), (0.0, 0.3), (0.9, 0.0)])
def test_ratio(interactions, ratios):
    _, split = split_ratio(interactions, *ratios)
    degree = torch.bincount(interactions.user, minlength=40)
    num_test = torch.minimum((ratios[0] * degree.double() + 0.5).long(), degree - 1)
    num_val = (ratios[1] * degree.double() + 0.5).long()
    num_val = torch.minimum(num_val, degree - 1 - num_test)
    assert _degree(split.test).equal(num_test)
    assert _degree(split.val).equal(num_val)
    assert _degree(split.train).min() >= 1


@pytest.mark.parametrize("timed", [True, False])
def test_ratio_in_order(interactions, timed):
    interactions = replace(interactions, time=interactions.time if timed else None)
    _, random = split_ratio(interactions, 0.2, 0.1)
    if timed:  # They come shuffled, and are split as if sorted.
        shuffled = interactions[torch.randperm(len(interactions))]
        _, split = split_ratio(shuffled, 0.2, 0.1, seed=None)
    else:
        _, split = split_ratio(interactions, 0.2, 0.1, seed=None)
    for name in ("train", "val", "test"):
        assert _degree(getattr(split, name)).equal(_degree(getattr(random, name)))
    time = interactions.time if timed else torch.arange(len(interactions))
    pairs = map(tuple, interactions.edge_label_index.t().tolist())
    time = dict(zip(pairs, time.tolist(), strict=True))
    parts = [_set(part) for part in (split.train, split.val, split.test)]
    for user in range(interactions.num_users):  # Train, then validation, then test.
        times = [[time[pair] for pair in part if pair[0] == user] for part in parts]
        times = [part for part in times if part]
        for earlier, later in pairwise(times):
            assert max(earlier) <= min(later)


def test_ratio_is_uniform():
    # Each of four items is the one tested on equally often.
    pairs = [(u, i) for u in range(4000) for i in range(4)]
    _, split = split_ratio(_interactions(pairs), test_ratio=0.25, val_ratio=0.25)
    for part in (split.val, split.test):
        count = torch.bincount(part[1] - 4000)
        assert count.sum() == 4000 and (count - 1000).abs().max() < 150  # > 5 sigma


def test_leave_one_out_by_time():
    pairs = [(0, 0), (0, 1), (0, 2), (1, 3), (2, 1), (2, 0)]
    data, split = split_leave_one_out(_interactions(pairs, time=[5, 9, 7, 1, 4, 3]))
    assert _set(split.test) == {(0, 4), (2, 4)}
    assert _set(split.val) == {(0, 5)}
    assert _set(split.train) == {(0, 3), (1, 6), (2, 3)}
    _check(data, split, _interactions(pairs))
    _, split = split_leave_one_out(_interactions(pairs, [5, 9, 7, 1, 4, 3]), val=False)
    assert _set(split.test) == {(0, 4), (2, 4)} and split.val.size() == (2, 0)


def test_leave_one_out_at_random(interactions):
    interactions = Interactions(interactions.user, interactions.item, 40, 30)
    degree = torch.bincount(interactions.user)
    _, split = split_leave_one_out(interactions)
    assert _degree(split.test).equal((degree > 1).long())
    assert _degree(split.val).equal((degree > 2).long())
    assert not split.test.equal(split_leave_one_out(interactions, seed=1)[1].test)


def test_temporal():
    pairs = [(0, i) for i in range(10)]
    time = [3, 9, 1, 7, 5, 0, 2, 8, 6, 4]
    _, split = split_temporal(_interactions(pairs, time), 0.2, 0.3)
    when = lambda part: {time[i - 1] for i in part[1].tolist()}  # noqa: E731
    assert when(split.test) == {8, 9}
    assert when(split.val) == {5, 6, 7}
    assert when(split.train) == {0, 1, 2, 3, 4}
    # Equal times stay together, in the later part.
    time = [0, 0, 1, 1, 1, 1, 1, 2, 2, 2]
    _, split = split_temporal(_interactions(pairs, time), 0.1, 0.3)
    assert [p.size(1) for p in (split.train, split.val, split.test)] == [2, 5, 3]
    _, split = split_temporal(_interactions(pairs, time), 0.1, 0.0)
    assert [p.size(1) for p in (split.train, split.val, split.test)] == [7, 0, 3]
    with pytest.raises(ValueError, match="interactions to train on, got 0 of 10"):
        split_temporal(_interactions(pairs, [1] * 10))
    with pytest.raises(ValueError, match="expected interactions with 'time'"):
        split_temporal(_interactions(pairs))


def test_ratios_out_of_range(interactions):
    for test_ratio, val_ratio in [(-0.1, 0.1), (0.5, 0.5), (0.1, -0.1)]:
        for cut in (split_ratio, split_temporal):
            with pytest.raises(ValueError, match="shares >= 0 with a sum < 1"):
                cut(interactions, test_ratio, val_ratio)
    with pytest.raises(ValueError, match=r"'val_ratio': 1\.0"):
        split_given(interactions[:9], interactions[9:], val_ratio=1.0)
    with pytest.raises(ValueError, match="duplicates='error' or 'drop'"):
        split_given(interactions[:9], interactions[9:], duplicates="keep")


def test_given_split_validates_on_the_last_of_each_user():
    user = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    item = torch.tensor([4, 2, 3, 0, 1, 0, 2])
    train = Interactions(user, item, 3, 5)
    test = Interactions(torch.tensor([0]), torch.tensor([1]), 3, 5)
    _, split = split_given(train, test, val_ratio=0.3, seed=None)
    assert (split.val - torch.tensor([[0], [3]])).t().tolist() == [[0, 0], [1, 0]]
    _, again = split_given(train, test, val_ratio=0.5, seed=None)
    assert (again.val - torch.tensor([[0], [3]])).t().tolist() == [
        [0, 3],
        [0, 0],
        [1, 0],
    ]
