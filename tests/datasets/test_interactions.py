from dataclasses import replace

import numpy as np
import pytest
import torch

from ltgnn_pyg.datasets import Interactions, align_ids
from ltgnn_pyg.graph import Graph


def _interactions(user, item, num_users=3, num_items=4, **kwargs):
    return Interactions(
        torch.tensor(user), torch.tensor(item), num_users, num_items, **kwargs
    )


def test_its_graph_as_data():
    data = Graph.from_interactions(_interactions([0, 2, 0], [3, 0, 1])).to_data()
    assert data.edge_index.tolist() == [[0, 2, 0, 6, 3, 4], [6, 3, 4, 0, 2, 0]]
    assert data.edge_index.dtype == torch.long
    assert (data.num_nodes, data.num_users, data.num_items) == (7, 3, 4)
    assert set(data.keys()) == {"edge_index", "num_nodes", "num_users", "num_items"}
    data.validate()


def test_select_and_repeated():
    out = _interactions(
        [0, 2, 0, 2], [3, 0, 3, 0], time=torch.arange(4), rating=torch.ones(4)
    )
    assert out.repeated().tolist() == [False, False, True, True]
    kept = out[~out.repeated()]
    assert len(kept) == 2
    assert (kept.user.tolist(), kept.item.tolist()) == ([0, 2], [3, 0])
    assert kept.time.tolist() == [0, 1] and kept.rating.tolist() == [1, 1]
    empty = kept[torch.zeros(2, dtype=torch.bool)]
    assert empty.user.size() == empty.item.size() == (0,)
    assert empty.repeated().size() == (0,)


@pytest.mark.parametrize(
    "kwargs, match",
    [
        (dict(user=[0, 3], item=[0, 0]), r"'user' in 0..2 \(got 0..3"),
        (dict(user=[0, -1], item=[0, 0]), r"'user' in 0..2 \(got -1..0"),
        (dict(user=[0], item=[4]), r"'item' in 0..3 \(got 4..4"),
        (dict(user=[0], item=[1, 2]), r"'item' as int64 \[1\]"),
        (dict(user=[0.5], item=[1]), "'user' as int64"),
        (dict(user=[0], item=[1], user_ids=np.arange(2)), "'user_ids' of length 3"),
        (dict(user=[0], item=[1], time=torch.ones(2)), r"'time' of size \[1\]"),
        (
            dict(user=[0], item=[1], time=torch.tensor([float("nan")])),
            "finite .*'time'",
        ),
        (dict(user=[0], item=[1], rating=torch.tensor([torch.inf])), "'rating'"),
        (dict(user=[0], item=[1], num_users=2**62), r"2\*\*63"),
    ],
)
def test_validation(kwargs, match):
    with pytest.raises(ValueError, match=match):
        _interactions(**kwargs)


def test_align_ids():
    train = _interactions(
        [0, 1], [0, 1], 2, 2, user_ids=np.array([5, 9]), item_ids=np.array([1, 3])
    )
    test = _interactions(
        [1, 0], [0, 0], 2, 1, user_ids=np.array([7, 9]), item_ids=np.array([2])
    )
    train, test = align_ids(train, test)
    for part in (train, test):
        assert part.user_ids.tolist() == [5, 7, 9]
        assert part.item_ids.tolist() == [1, 2, 3]
        assert (part.num_users, part.num_items) == (3, 3)
    assert (train.user.tolist(), train.item.tolist()) == ([0, 2], [0, 2])
    assert (test.user.tolist(), test.item.tolist()) == ([2, 1], [1, 1])


def test_align_ids_without_raw_ids_and_of_two_types():
    first, second = align_ids(
        _interactions([0], [0], 1, 5), _interactions([3], [1], 4, 2)
    )
    assert (first.num_users, second.num_items) == (4, 5)
    assert first.user_ids is None

    def named(ids):
        return _interactions([0], [0], 1, 1, user_ids=ids, item_ids=ids)

    one, two = align_ids(named(np.array([7])), named(np.array(["a"], dtype=object)))
    assert one.user_ids.tolist() == two.user_ids.tolist() == ["7", "a"]
    with pytest.raises(ValueError, match="'user_ids' on all interactions or on none"):
        align_ids(first, one)


def test_cat():
    ids = dict(user_ids=np.array([5, 7, 9]), item_ids=np.array(list("abcd"), object))
    x = _interactions(
        [0, 2, 0, 2], [3, 0, 2, 1], time=torch.arange(4), rating=torch.rand(4), **ids
    )
    out = Interactions.cat(x[:1], x[1:3], x[3:])
    for name in ("user", "item", "rating", "time"):
        assert torch.equal(getattr(out, name), getattr(x, name))
    assert out.user_ids is x.user_ids and out.num_items == 4
    other = _interactions([0], [1], time=torch.ones(1).long(), rating=torch.rand(1))
    with pytest.raises(ValueError, match="align_ids"):
        Interactions.cat(x, other)
    with pytest.raises(ValueError, match="align_ids"):
        Interactions.cat(other, replace(other, num_items=9))
    with pytest.raises(
        ValueError, match=r"'time' on all parts or on none \(got it on 1"
    ):
        Interactions.cat(x, replace(x, time=None))
    with pytest.raises(ValueError, match="got none"):
        Interactions.cat()


def test_rows():
    x = _interactions([0, 2, 0, 2, 0], [3, 0, 1, 0, 3])
    rowptr, col = x.rows()
    assert (rowptr.tolist(), col.tolist()) == ([0, 2, 2, 3], [1, 3, 0])
    rowptr, col = x[:0].rows()
    assert (rowptr.tolist(), col.tolist()) == ([0] * 4, [])


def test_split_by_rating():
    x = _interactions([0, 2, 0], [3, 0, 1], rating=torch.tensor([4.0, 1.0, 5.0]))
    liked, disliked = x.split_by_rating(4)
    assert (liked.item.tolist(), disliked.item.tolist()) == ([3, 1], [0])
    assert (disliked.user.tolist(), disliked.num_items) == ([2], 4)
    with pytest.raises(ValueError, match="with 'rating' to split by"):
        replace(x, rating=None).split_by_rating(3)


def test_weights_and_behaviors_are_carried():
    x = _interactions(
        [0, 2, 0], [3, 0, 3], weight=torch.tensor([1.0, 2.0, 3.0]),
        behavior=torch.tensor([0, 1, 1]), behaviors=("buy", "view"),
    )  # fmt: skip
    assert not x.repeated().any()  # A view and a purchase of one item.
    out = x[torch.tensor([2, 0])]
    assert (out.weight.tolist(), out.behavior.tolist()) == ([3, 1], [1, 0])
    again = Interactions.cat(out, x[1:2])
    assert again.weight.tolist() == [3, 1, 2] and again.behaviors == x.behaviors
    other = replace(x, behaviors=("cart", "view"))
    with pytest.raises(ValueError, match=r"one 'behaviors'.*align_ids"):
        Interactions.cat(x, other)
    one, two = align_ids(x, other)
    assert one.behaviors == two.behaviors == ("buy", "cart", "view")
    assert (one.behavior.tolist(), two.behavior.tolist()) == ([0, 2, 2], [1, 2, 2])
    with pytest.raises(ValueError, match="'weight' as floats > 0"):
        replace(x, weight=torch.zeros(3))
    with pytest.raises(ValueError, match="'weight' as floats > 0"):
        replace(x, weight=torch.ones(3).long())
    with pytest.raises(ValueError, match=r"'behavior' in 0..0 \(got 0..1"):
        replace(x, behaviors=("buy",))
    with pytest.raises(ValueError, match="together with the names"):
        replace(x, behavior=None)


def test_times_of_one_unit():
    x = _interactions([0, 2], [3, 0], time=torch.tensor([5, 7]), time_unit="s")
    y = replace(x, time=torch.tensor([6000, 8000]), time_unit="ms")
    with pytest.raises(ValueError, match=r"one 'time_unit'.*align_ids"):
        Interactions.cat(x, y)
    whole = Interactions.cat(*align_ids(x, y))
    assert whole.time.tolist() == [5000, 7000, 6000, 8000]
    assert whole.time_unit == "ms"
    with pytest.raises(ValueError, match="known units on all"):
        align_ids(x, replace(y, time_unit=None))
    with pytest.raises(ValueError, match="time_unit to be one of"):
        replace(x, time_unit="min")
    far = replace(x, time=torch.tensor([0, 2**60]))
    with pytest.raises(ValueError, match="fit into int64 as 'ms'"):
        align_ids(far, y)
