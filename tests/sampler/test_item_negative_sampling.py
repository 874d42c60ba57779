import pytest
import torch
from torch_geometric.sampler import NegativeSampling

from ltgnn_pyg import ItemNegativeSampling
from ltgnn_pyg.graph import Numbering

U, I = 4, 6


@pytest.fixture
def seen():
    """Users with none, one, all but one and two seen items."""
    items = {0: [], 1: [3], 2: [0, 1, 2, 4, 5], 3: [5, 0]}
    pairs = [(u, i + U) for u, row in items.items() for i in row]
    return torch.tensor(pairs).t(), items


def frequency(sampling, user, num=6000):
    item = sampling.sample_for(torch.full((num,), user)) - U
    return torch.bincount(item.view(-1), minlength=I).double() / item.numel()


def test_uniform_draws_every_unseen_item_once(seen, monkeypatch):
    """Enumerates the ranks: they map one to one onto the unseen items."""
    edge_index, items = seen
    sampling = ItemNegativeSampling(U, I, edge_index=edge_index, reject_seen=True)
    for user, row in items.items():
        left = I - len(row)
        u = (torch.arange(left, dtype=torch.double) + 0.5) / left
        monkeypatch.setattr(torch, "rand", lambda *args, u=u, **kwargs: u)
        drawn = sampling.sample_for(torch.full((left,), user)) - U
        assert drawn.tolist() == [i for i in range(I) if i not in row]


def every_target(monkeypatch, num):
    """Draws the targets 0, ..., num - 1 of the masses, in turn."""
    u = (torch.arange(num, dtype=torch.double) + 0.5) / num
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: u)


@pytest.mark.parametrize("power", [1.0, 0.75, -0.5])
def test_popularity_by_enumeration(monkeypatch, power):
    """Each unseen item is hit by just its share of evenly spaced targets."""
    num_users, num_items, num = 40, 30, 4000
    generator = torch.Generator().manual_seed(3)
    seen = torch.rand(num_users, num_items, generator=generator) < torch.linspace(
        0.95, 0.05, num_items
    )
    seen[:, -2:] = False  # Items without a pair are never drawn.
    seen[0] = False
    seen[1, :-3], seen[1, -3], seen[2, -3] = True, False, True
    user, item = seen.nonzero().t()
    degree = seen.sum(0).double()
    weight = degree.pow(power).masked_fill(degree == 0, 0.0)
    sampling = ItemNegativeSampling(
        num_users,
        num_items,
        edge_index=torch.stack([user, item + num_users]),
        power=power,
        reject_seen=True,
    )
    torch.testing.assert_close(sampling.q, weight / weight.sum())
    every_target(monkeypatch, num)
    for u in range(num_users):
        drawn = sampling.sample_for(torch.full((num,), u)) - num_users
        assert (drawn.diff() >= 0).all() and not seen[u, drawn].any()
        count = torch.bincount(drawn, minlength=num_items)
        expected = weight.masked_fill(seen[u], 0.0)
        assert ((count == 0) | (expected > 0)).all()
        error = count - expected / expected.sum() * num
        assert error.abs().max() < 1 + 1e-6


@pytest.mark.parametrize("extreme", [0.0, 1 - 2.0**-53])
def test_ends_of_the_draw(monkeypatch, extreme):
    """The first and the last number that can be drawn lead to unseen items."""
    num_users, num_items = 50, 97
    seen = torch.rand(num_users, num_items) < 0.7
    seen[torch.arange(num_users), torch.randint(num_items, (num_users,))] = False
    user, item = seen.nonzero().t()
    for power in (0.0, 0.3, 1.0, 3.0):
        sampling = ItemNegativeSampling(
            num_users,
            num_items,
            edge_index=torch.stack([user, item + num_users]),
            power=power,
            reject_seen=True,
        )
        u = torch.full((num_users,), extreme, dtype=torch.double)
        monkeypatch.setattr(torch, "rand", lambda *args, u=u, **kwargs: u)
        drawn = sampling.sample_for(torch.arange(num_users)) - num_users
        for user_, item_ in enumerate(drawn.tolist()):
            left = (~seen[user_] & (seen.any(0) | (power == 0))).nonzero().view(-1)
            assert item_ == left[0 if extreme == 0.0 else -1]


def test_only_the_rarest_items_left():
    """No number of rejections would find them: one draw in 10^10 hits one."""
    num_users, num_items = 500, 2000
    popular = torch.arange(num_items - 2).repeat(num_users)
    few = torch.tensor([num_items - 2, num_items - 1, num_items - 1])
    user = torch.arange(num_users).repeat_interleave(num_items - 2)
    user = torch.cat([user, torch.tensor([1, 2, 3])])
    pairs = torch.stack([user, torch.cat([popular, few]) + num_users])
    sampling = ItemNegativeSampling(
        num_users, num_items, edge_index=pairs, power=3.0, reject_seen=True
    )
    item = sampling.sample_for(torch.zeros(90_000, dtype=torch.long)) - num_users
    share = torch.bincount(item - num_items + 2).double() / item.numel()
    expected = torch.tensor([1.0, 8.0], dtype=torch.double) / 9
    torch.testing.assert_close(share, expected, atol=0.006, rtol=0)
    assert (
        sampling.sample_for(torch.ones(9, dtype=torch.long)) == num_users + 1999
    ).all()


@pytest.mark.parametrize("amount", [1, 3])
def test_popularity_rejects_seen(seen, amount):
    edge_index, _ = seen
    more = torch.tensor([[0, 1, 1], [5 + U, 5 + U, 4 + U]])
    edge_index = torch.cat([edge_index, more], 1)
    kwargs = {"edge_index": edge_index, "power": 0.75}
    degree = torch.bincount(edge_index[1] - U, minlength=I).double()
    for reject in (False, True):
        sampling = ItemNegativeSampling(U, I, amount, reject_seen=reject, **kwargs)
        weight = degree.pow(0.75)
        if reject:
            weight[edge_index[1, edge_index[0] == 3] - U] = 0.0
        actual = frequency(sampling, 3)
        assert actual[weight == 0].sum() == 0
        torch.testing.assert_close(actual, weight / weight.sum(), atol=0.03, rtol=0)


def test_shapes_and_items_only():
    src = torch.tensor([0, 1, 3])
    for kwargs, shape in (
        ({}, (3,)),
        ({"amount": 4}, (3, 4)),
        ({"amount": 5, "shared": True}, (1, 5)),
    ):
        item = ItemNegativeSampling(U, I, **kwargs).sample_for(src)
        assert item.shape == shape and item.min() >= U and item.max() < U + I
    drawn = ItemNegativeSampling(U, I).sample(500, "dst", U + I)
    assert drawn.unique().tolist() == list(range(U, U + I))
    drawn = ItemNegativeSampling(U, I).sample(500, "src", U + I)
    assert drawn.unique().tolist() == list(range(U))


def test_survives_pygs_cast():
    sampling = ItemNegativeSampling(U, I)
    assert NegativeSampling.cast(sampling) is sampling and sampling.is_triplet()


def test_generator_decides():
    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        sampling = ItemNegativeSampling(U, I, 20, generator=generator)
        return sampling.sample_for(torch.zeros(1, dtype=torch.long)).tolist()

    assert draw(1) == draw(1) != draw(2)


def test_bad_arguments(seen):
    edge_index, _ = seen
    with pytest.raises(ValueError, match="at most one of"):
        ItemNegativeSampling(U, I, edge_index=edge_index, reject_seen=True, shared=True)
    with pytest.raises(ValueError, match="Expected 'edge_index'"):
        ItemNegativeSampling(U, I, power=0.5)
    with pytest.raises(ValueError, match="Expected pairs"):
        ItemNegativeSampling(U, I, edge_index=edge_index[:, :0], power=0.5)
    with pytest.raises(ValueError, match="'power' that can be computed"):
        edges = edge_index.repeat(1, 9)
        ItemNegativeSampling(U, I, edge_index=edges, power=1000.0)
    with pytest.raises(ValueError, match="from users"):
        ItemNegativeSampling(U, I, edge_index=edge_index.flip(0), reject_seen=True)
    every = torch.stack([torch.zeros(I, dtype=torch.long), torch.arange(I) + U])
    with pytest.raises(ValueError, match="user 0, who has seen all"):
        ItemNegativeSampling(U, I, edge_index=every, reject_seen=True)
    kwargs = {"edge_index": torch.tensor([[0, 1], [U, U + 1]]), "power": 1.0}
    ItemNegativeSampling(U, I, reject_seen=True, **kwargs)
    kwargs["edge_index"] = torch.tensor([[0, 0, 1], [U, U + 1, U]])
    with pytest.raises(ValueError, match="user 0, who has seen all"):
        ItemNegativeSampling(U, I, reject_seen=True, **kwargs)
    with pytest.raises(ValueError, match="cannot be rejected"):
        ItemNegativeSampling(U, I, edge_index=edge_index, reject_seen=True).sample(
            3, "dst"
        )


@pytest.mark.parametrize("kwargs", [{}, {"power": 0.75}])
def test_other_numbers_the_same_draws(seen, kwargs):
    """Of a graph that grew, whose last user and items come behind all others."""
    edge_index, _ = seen
    numbering = Numbering.of({"user": U - 1, "item": I - 2})
    numbering = numbering.append({"item": 1, "user": 1}).append({"item": 1})
    number = numbering.number
    moved = torch.stack(
        [number("user", edge_index[0]), number("item", edge_index[1] - U)]
    )
    user = torch.arange(U).repeat_interleave(50)
    drawn = []
    for numbers, edges in ((None, edge_index), (numbering, moved)):
        generator = torch.Generator().manual_seed(1)
        sampling = ItemNegativeSampling(
            U,
            I,
            2,
            edge_index=edges,
            reject_seen=True,
            disliked=edges.flip(1)[:, :4],
            generator=generator,
            numbering=numbers,
            **kwargs,
        )
        src = user if numbers is None else number("user", user)
        drawn.append(sampling.sample_for(src))
    assert torch.equal(drawn[1], number("item", drawn[0] - U))
    plain = ItemNegativeSampling(U, I, numbering=numbering)
    for end, name in (("dst", "item"), ("src", "user")):
        found = plain.sample(500, end, U + I).unique()
        assert torch.equal(found, torch.arange(U + I)[numbering.nodes(name)])
    with pytest.raises(ValueError, match="from users"):
        ItemNegativeSampling(
            U, I, edge_index=edge_index, power=1.0, numbering=numbering
        )
    with pytest.raises(ValueError, match="'disliked' to lead from users"):
        ItemNegativeSampling(U, I, disliked=edge_index.flip(0))
    with pytest.raises(ValueError, match="a numbering of 3 users and 6 items"):
        ItemNegativeSampling(3, I, numbering=numbering)
