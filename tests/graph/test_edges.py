"""Edges, against lists of their numbers."""

import pytest
import torch

from ltgnn_pyg.graph import Edges

LONG = torch.iinfo(torch.long).min


def edges(num, **kwargs):
    return Edges(torch.randint(50, (2, num)), **kwargs)


def fields(some):
    return some.index, some.type, some.weight, some.time


def same(one, two):
    for a, b in zip(fields(one), fields(two), strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a.dtype == b.dtype and torch.equal(a, b))


def full(num):
    return edges(
        num,
        type=torch.randint(3, (num,)),
        weight=torch.rand(num) + 0.1,
        time=torch.randint(9, (num,)),
    )


@pytest.mark.parametrize(
    "select",
    [
        torch.tensor([True, False, True, False, False]),
        torch.tensor([4, 1, 1]),
        slice(1, 4),
        torch.empty(0, dtype=torch.long),
    ],
)
def test_selection(select):
    some = full(5)
    found = some[select]
    assert torch.equal(found.index, some.index[:, select])
    for a, b in zip(fields(found)[1:], fields(some)[1:], strict=True):
        assert torch.equal(a, b[select])
    plain = edges(5)[select]
    assert plain.type is plain.weight is plain.time is None


@pytest.mark.parametrize("left", range(8))
@pytest.mark.parametrize("right", range(8))
def test_cat_fills_what_only_some_have(left, right):
    """All ways in which two lots have or lack types, weights and times."""
    whole = full(4), full(3)
    names = ("type", "weight", "time")
    given = [
        {name: getattr(of, name) for bit, name in enumerate(names) if have >> bit & 1}
        for of, have in zip(whole, (left, right), strict=True)
    ]
    parts = [Edges(of.index, **has) for of, has in zip(whole, given, strict=True)]
    found = parts[0].cat(parts[1])
    assert torch.equal(found.index, torch.cat([of.index for of in whole], 1))
    default = {"type": 0, "weight": 1.0, "time": LONG}
    for bit, name in enumerate(names):
        if not (left | right) >> bit & 1:
            assert getattr(found, name) is None
            continue
        values = [
            value
            for part, of in zip(parts, given, strict=True)
            for value in (
                of[name].tolist() if name in of else [default[name]] * len(part)
            )
        ]
        value = getattr(found, name)
        assert value.tolist() == values
        assert value.dtype == getattr(whole[0], name).dtype


def test_the_smallest_time_of_floats():
    joined = edges(1, time=torch.tensor([3.5])).cat(edges(2))
    smallest = torch.finfo(torch.float).min
    assert joined.time.tolist() == [3.5, smallest, smallest]


def test_types():
    some = full(9)
    for code in range(4):
        same(some.of_type(code), some[(some.type == code).nonzero().view(-1)])
        of_one = some.with_type(code)
        assert of_one.codes.tolist() == [code] * 9
        same(of_one.of_type(code), of_one)
        assert len(of_one.of_type(code + 1)) == 0
    assert torch.equal(some.codes, some.type)
    plain = edges(3)
    assert plain.of_type(0) is plain and len(plain.of_type(1)) == 0
    assert plain.codes.tolist() == [0, 0, 0]


def test_to(device):
    some = full(4)
    same(some.to(device).to("cpu"), some)
    same(edges(0).to(device), edges(0).to(device))
    assert all(value.device == device for value in fields(some.to(device)))


@pytest.mark.parametrize("bad", [0.0, -1.0, torch.nan, torch.inf])
def test_weights_are_positive(bad):
    with pytest.raises(ValueError, match="positive, finite edge weights"):
        edges(3, weight=torch.tensor([1.0, bad, 2.0]))


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"shape \[2, num_edges\] \(got \[3, 2\]"):
        Edges(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"shape \[2, num_edges\] \(got \[4\]"):
        Edges(torch.zeros(4))
    for name in ("type", "weight", "time"):
        with pytest.raises(ValueError, match=rf"'edge_{name}' of shape \[3\]"):
            edges(3, **{name: torch.ones(2)})
