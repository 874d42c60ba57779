import math

import cities
import numpy as np
import pytest
import torch
from expand import expand

from ltgnn_pyg.datasets import Interactions, split_ratio, synthetic_interactions

U, I, E = 300, 200, 6000


@pytest.fixture(scope="module")
def source():
    """A set in random order whose rating and time name the interaction."""
    data = synthetic_interactions(U, I, E)
    data = data[torch.randperm(E, generator=torch.Generator().manual_seed(0))]
    data.rating = (data.user * I + data.item).double()
    data.time = data.user * I + data.item
    return data


def key(data):
    return data.user * data.num_items + data.item


def same(one, two):
    names = ("user", "item", "rating", "time")
    return all(torch.equal(getattr(one, n), getattr(two, n)) for n in names)


@pytest.mark.parametrize("travel", [0.0, 0.5])
def test_one_city_is_the_source_in_order(source, travel):
    out = expand(source, 1, travel=travel)  # There is nowhere to go.
    assert (out.num_users, out.num_items) == (U, I)
    assert out.user_ids is None and out.item_ids is None
    assert same(out, source[key(source).sort().indices])
    assert out.rating.dtype == torch.double and out.time.dtype == torch.long


def test_without_travel_copies_are_disjoint(source):
    out = expand(source, 3, travel=0.0)
    assert (out.num_users, out.num_items, len(out)) == (3 * U, 3 * I, 3 * E)
    ordered = key(source).sort().values
    for city in range(3):
        part = out[city * E : (city + 1) * E]
        assert torch.equal(part.user // U, torch.full((E,), city))
        assert torch.equal(part.item // I, torch.full((E,), city))
        assert torch.equal(part.user % U * I + part.item % I, ordered)


@pytest.mark.parametrize("factor", [0.02, 0.4, 0.97, 1.05, 1.5, 2.01, 3, 4.7, 12.3])
@pytest.mark.parametrize("travel", [0.0, 0.1, 0.3])
def test_size_range_and_order(source, factor, travel):
    out = expand(source, factor, travel=travel, seed=1)
    # A part of the users of a small source: their degrees are a matter of chance.
    degree = torch.bincount(source.user).double()
    last = U * (factor % 1 or 1)
    chance = 4 * float(degree.std()) * math.sqrt(last * (1 - factor % 1) / E**2)
    assert abs(len(out) / (factor * E) - 1) < 0.02 + chance / factor
    assert (key(out).diff() > 0).all()  # Sorted by user and item, none repeated.
    for index, num, old in (
        (out.user, out.num_users, U),
        (out.item, out.num_items, I),
    ):
        assert 0 <= int(index.min()) and int(index.max()) < num
        assert math.floor(factor) * old <= num <= math.ceil(factor) * old


def test_travel(source):
    """A pair that stays is the source's; one that travels, of one row in each city."""
    num, travel = 4, 0.3
    out = expand(source, num, travel=travel)
    assert 0.97 * num * E < len(out) <= num * E
    city, home = out.item // I, out.user // U
    stays = city == home
    assert abs(float(stays.double().mean()) - (1 - travel)) < 0.02
    known = set(key(source).tolist())
    pairs = (out.user % U * I + out.item % I)[stays]
    assert set(pairs.tolist()) <= known
    assert torch.equal(out.rating[stays].long(), pairs)
    assert torch.equal(out.time[stays], pairs)
    # A rating is of the one whose row was visited, a time of the visitor.
    away = out[~stays]
    assert torch.equal(away.rating.long() % I, away.item % I)
    assert torch.equal(away.time // I, away.user % U)
    host = away.rating.long() // I
    visit = away.user * num + away.item // I
    assert len(set(zip(visit.tolist(), host.tolist(), strict=True))) == len(
        visit.unique()
    )
    degree = torch.bincount(source.user, minlength=U).double()
    ratio = degree[host] / degree[away.user % U]
    assert 0.5 < float(ratio.median()) < 2  # Hosts are of like degree.
    for of in range(num):  # And each has one visitor of a city.
        from_one = (home[~stays] == of) & (away.item // I == (of + 1) % num)
        visits = {
            tuple(v) for v in torch.stack([away.user, host])[:, from_one].T.tolist()
        }
        assert len({h for _, h in visits}) == len({u for u, _ in visits}) > U / 2
    # Cities are visited by the power law.
    share = torch.bincount((away.item // I)[home[~stays] == 3], minlength=num)
    expected = torch.tensor([1, 1 / 2, 1 / 3, 0]) / (11 / 6)
    torch.testing.assert_close(share / share.sum(), expected, atol=0.05, rtol=0)


def test_degrees_are_those_of_the_source(source):
    out = expand(source, 8, travel=0.3)
    for name, num in (("user", U), ("item", I)):
        old = torch.bincount(getattr(source, name), minlength=num).double()
        new = torch.bincount(getattr(out, name), minlength=8 * num).double()
        new = new.view(8, num)
        assert abs(float(new.mean() / old.mean()) - 1) < 0.02
        assert float(torch.corrcoef(torch.stack([new.mean(0), old]))[0, 1]) > 0.98
        at = torch.tensor([0.1, 0.5, 0.9], dtype=torch.double)
        law = new.flatten().quantile(at) / old.quantile(at)
        torch.testing.assert_close(law, torch.ones_like(law), atol=0.25, rtol=0)


def test_seeded_and_blind_to_blocks(source, monkeypatch):
    cases = [dict(factor=2.6), dict(factor=2.0, num_users=4 * U, num_items=300)]
    for case in cases:
        state = torch.get_rng_state()
        out = expand(source, seed=3, **case)
        assert torch.get_rng_state().equal(state)
        assert not torch.equal(out.item[:E], expand(source, seed=4, **case).item[:E])
        for block in (1, 7, 1000):
            monkeypatch.setattr(cities, "_BLOCK", block)
            assert same(out, expand(source, seed=3, **case))
        monkeypatch.undo()


@pytest.mark.parametrize("travel", [0.0, 0.3])
@pytest.mark.parametrize(
    "factor, sizes",
    [
        (3, (900, 600)),
        (3, (900, None)),
        (2.5, (900, 450)),
        (2.5, (1250, 390)),  # Cities whose sizes are not all the same.
        (1.7, (600, 601)),  # More of them than there are copies of users.
    ],
)
def test_sizes_as_asked(source, factor, sizes, travel):
    num_users, num_items = sizes
    out = expand(
        source, factor, num_users=num_users, num_items=num_items, travel=travel
    )
    assert (out.num_users, out.num_items) == (num_users, num_items or 600)
    assert abs(len(out) / (factor * E) - 1) < 0.05  # Of a few hundred users and items.
    assert (key(out).diff() > 0).all()


def test_catalogues_differ_and_prefer_the_popular(source):
    out = expand(source, 2.4, num_users=4 * U, num_items=2 * I, travel=0.0)
    size = 2 * I // 4
    local = out.rating.long() % I  # Without travel a rating names the item.
    chosen = [set(local[out.item // size == city].tolist()) for city in range(4)]
    assert all(len(items) == size for items in chosen) and chosen[0] != chosen[1]
    degree = torch.bincount(source.item, minlength=I).double()
    mass = [float(degree[list(items)].sum()) / E for items in chosen]
    np.testing.assert_allclose(mass, 0.6, atol=0.02)
    assert not any(items == set(degree.topk(size).indices.tolist()) for items in chosen)


def test_holes_in_the_source():
    """Users and items without interactions, the last ones too."""
    user, item = torch.tensor([0, 0, 3, 3, 3]), torch.tensor([1, 2, 0, 1, 2])
    data = Interactions(user, item, 6, 5)
    for seed in range(20):
        out = expand(data, 3, travel=0.9, seed=seed)
        assert (out.num_users, out.num_items) == (18, 15)
        assert not out.repeated().any() and out.time is None and out.rating is None
        assert set((out.user % 6).tolist()) == {0, 3}


def test_its_order_is_not_taken_for_time(source):
    out = expand(source, 2)
    out.time = None
    assert split_ratio(out).order == "random"
    with pytest.raises(ValueError, match="sorted by item"):
        split_ratio(out, order="lines")


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(factor=0),
        dict(factor=math.inf),
        dict(factor=math.nan),
        dict(travel=-0.1),
        dict(travel=1.1),
        dict(num_users=0),
        dict(num_users=10 * U, num_items=9),  # Not one for each city.
        dict(num_items=-1),
        dict(num_users=U, num_items=2 * I),  # Rows would have to be denser.
        dict(num_users=2 * U, num_items=I // 50),
        dict(
            num_users=8 * U, num_items=8 * I
        ),  # Thinner than any catalogue makes them.
    ],
)
def test_door(source, kwargs):
    with pytest.raises(ValueError, match=r"Expected .* \(got"):
        expand(source, **{"factor": 2, **kwargs})


def test_door_of_the_source(source):
    with pytest.raises(ValueError, match=r"interactions to copy \(got none\)"):
        expand(source[:0], 2)
    with pytest.raises(ValueError, match=r"distinct pairs \(got 1 repeated\)"):
        expand(Interactions.cat(source, source[:1]), 2)
