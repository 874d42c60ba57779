import pytest
import torch

from ltgnn_pyg.scorers import Query

LISTS = [[5, 8], [], [2], [2, 2, 0], []]


def full():
    """Five queries of every kind of field."""
    return Query(
        torch.tensor([3, 1, 4, 1, 5]),
        Query.of_items(LISTS).items,
        torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5]),
        {"device": torch.arange(5), "place": torch.randn(5, 2)},
    )


def assert_same(one, two):
    for a, b in ((one.user, two.user), (one.time, two.time)):
        assert (a is None and b is None) or torch.equal(a, b)
    assert (one.items is None) == (two.items is None)
    if one.items is not None:
        assert all(
            torch.equal(*each) for each in zip(one.items, two.items, strict=True)
        )
    assert one.context.keys() == two.context.keys()
    for name in one.context:
        assert torch.equal(one.context[name], two.context[name])


def test_of_items():
    query = Query.of_items(LISTS)
    assert len(query) == 5 and query.user is None and query.time is None
    assert query.items[0].tolist() == [0, 2, 2, 3, 6, 6]
    assert query.items[1].tolist() == [5, 8, 2, 2, 2, 0]
    assert all(each.dtype == torch.long for each in query.items)
    nobody = Query.of_items([])
    assert len(nobody) == 0 and nobody.items[0].tolist() == [0]
    assert len(Query.of_items([[]])) == 1


def test_sizes():
    assert len(full()) == 5
    assert len(Query(torch.tensor([7]))) == 1
    two, items = torch.tensor([0, 1]), Query.of_items([[1], [2], [3]]).items
    for given in (
        {"user": two, "items": items},
        {"user": two, "time": torch.zeros(3)},
        {"items": items, "time": torch.zeros(2)},
        {"items": items, "context": {"place": torch.zeros(2, 3)}},
    ):
        with pytest.raises(ValueError, match="as many of all, one a query"):
            Query(**given)
    for given in ({}, {"time": torch.zeros(3)}):
        with pytest.raises(ValueError, match="'user' or 'items'"):
            Query(**given)


@pytest.mark.parametrize(
    "part", [slice(0, 2), slice(1, 4), slice(3, None), slice(2, 2), slice(4, 99)]
)
def test_slices_are_queries_of_their_rows(part):
    query = full()
    expected = Query(
        query.user[part],
        Query.of_items(LISTS[part]).items,
        query.time[part],
        {name: value[part] for name, value in query.context.items()},
    )
    assert_same(query[part], expected)
    assert len(query[part]) == len(LISTS[part])
    assert_same(Query(query.user)[part], Query(query.user[part]))
    assert_same(Query.of_items(LISTS)[part], Query.of_items(LISTS[part]))


def test_slices_of_slices():
    query = full()
    assert_same(query[1:][1:3], query[2:4])


def test_to(device):
    given = full()
    query = given.to(device)
    tensors = [query.user, *query.items, query.time, *query.context.values()]
    assert all(each.device.type == device.type for each in tensors)
    assert_same(query.to("cpu"), given)
    only = Query.of_items(LISTS).to(device)
    assert only.user is None and only.time is None and not only.context
