import copy

import pytest
import torch
from torch_geometric.transforms import AddSelfLoops

from ltgnn_pyg import LTGNN, Graph, PairLoader, Query, fit
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.nn.loss import EGCFLoss, GuidedSoftmaxLoss, SoftmaxAtKLoss
from ltgnn_pyg.nn.loss.in_batch_softmax import CHUNK
from ltgnn_pyg.scorers.filters import ChebyCF
from tests import dense
from tests.nn.loss.batches import dense_in_batch_softmax, make_batch
from tests.toy import blocks

NUM_USERS, NUM_ITEMS = 30, 20


@pytest.fixture
def interactions():
    generator = torch.Generator().manual_seed(3)
    popular = torch.linspace(0.05, 0.8, NUM_ITEMS)
    taken = torch.rand(NUM_USERS, NUM_ITEMS, generator=generator) < popular
    return Interactions(*taken.nonzero().t(), NUM_USERS, NUM_ITEMS)


@pytest.fixture
def z():
    size = NUM_USERS + NUM_ITEMS, 4
    return torch.randn(size, dtype=torch.double, requires_grad=True)


def prepare(loss, interactions):
    loss.prepare(Graph.from_interactions(interactions))


def pairs(num):
    src = torch.randint(0, NUM_USERS, (num,))
    return src, torch.randint(NUM_USERS, NUM_USERS + NUM_ITEMS, (num,))


def expected_of(interactions, rank=NUM_ITEMS):
    """What the filter says of all users and items, over their popularity."""
    everyone = torch.arange(NUM_USERS)
    score = ChebyCF(interactions, rank=rank).vectors().score(Query(everyone))
    degree = torch.bincount(interactions.item, minlength=NUM_ITEMS)
    return score.clamp(min=0.0).double() / degree.clamp(min=1)


def by_hand(z, src, pos, guide, loss):
    """The loss from its equation, in one piece."""
    unit = z / z.norm(dim=1, keepdim=True)
    score = dense_in_batch_softmax(unit, src, pos, loss.tau)
    target = guide[src][:, pos - NUM_USERS]
    num, chunk = src.numel(), torch.arange(src.numel()) // CHUNK
    copies = (pos[:, None] == pos) & ~torch.eye(num, dtype=torch.bool)
    target = target.masked_fill(copies | (chunk[:, None] != chunk), 0.0)
    target = target / target.sum(1, keepdim=True)
    target = loss.guide_weight * target
    target += (1.0 - loss.guide_weight) * torch.eye(num)
    others = score.detach().clone().fill_diagonal_(float("-inf"))
    weight = loss._weights(score.detach().diagonal(), others, num - 1)
    each = -(target * score.log_softmax(1).clamp(min=-1e30)).sum(1)
    return (weight * each).mean()


def check(actual, expected, z, **tolerance):
    torch.testing.assert_close(actual, expected, **tolerance)
    grads = (torch.autograd.grad(value, z)[0] for value in (actual, expected))
    torch.testing.assert_close(*grads, **tolerance)


@pytest.mark.parametrize("num", [12, 2500])
@pytest.mark.parametrize("guide_weight", [0.3, 1.0])
def test_from_its_equation(interactions, z, num, guide_weight):
    loss = GuidedSoftmaxLoss(NUM_ITEMS, 3, 0.5, 0.7, guide_weight)
    prepare(loss, interactions)
    src, pos = pairs(num)
    batch = make_batch(src, pos, num_seeds=len(z))
    user, item = loss._guide.double().split([NUM_USERS, NUM_ITEMS])
    guide = (user @ item.t()).clamp(min=0.0)  # Rounded, but exact from there on.
    check(loss(z, batch), by_hand(z, src, pos, guide, loss), z)
    guide = expected_of(interactions)
    check(loss(z, batch), by_hand(z, src, pos, guide, loss), z, atol=1e-2, rtol=1e-2)


def test_the_guide_is_the_filter(interactions):
    """By all eigenvectors of the dense matrix, in double precision."""
    loss = GuidedSoftmaxLoss(NUM_ITEMS, 3)
    prepare(loss, interactions)
    user, item = loss._guide.double().split([NUM_USERS, NUM_ITEMS])
    found = (user @ item.t()).clamp(min=0.0)
    rows = torch.zeros(NUM_USERS, NUM_ITEMS, dtype=torch.double)
    rows[interactions.user, interactions.item] = 1.0
    value, vector = torch.linalg.eigh(dense.gram(rows))
    e = 1.0 - 2.0 * value
    kept = 0.5 - 0.5 * e.sign() * e.abs() ** 1.5 + 0.2
    degree = rows.sum(0)
    expected = (rows / degree**0.4) @ (vector * kept) @ vector.t() * degree**0.4
    expected = expected.clamp(min=0.0) / degree
    total = found.sum(1, keepdim=True), expected.sum(1, keepdim=True)
    found, expected = found / total[0], expected / total[1]
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-2)


def test_loops_have_no_part(interactions):
    loss, other = GuidedSoftmaxLoss(NUM_ITEMS, 3), GuidedSoftmaxLoss(NUM_ITEMS, 3)
    prepare(loss, interactions)
    data = Graph.from_interactions(interactions).to_data()
    other.prepare(Graph.from_data(AddSelfLoops(attr=None)(data)))
    assert torch.equal(loss._guide, other._guide)


def test_a_filter_of_some_vectors_alone(interactions, z):
    loss = GuidedSoftmaxLoss(NUM_ITEMS, 3, rank=5)
    prepare(loss, interactions)
    guide = expected_of(interactions, 5)
    src, pos = pairs(12)
    value = loss(z, make_batch(src, pos, num_seeds=len(z)))
    expected = by_hand(z, src, pos, guide, loss)
    torch.testing.assert_close(value, expected, atol=1e-2, rtol=1e-2)


def test_without_a_guide_it_is_softmax_at_k(interactions, z):
    loss = GuidedSoftmaxLoss(NUM_ITEMS, 3, guide_weight=0.0)
    other = SoftmaxAtKLoss(NUM_ITEMS, 3)
    for each in (loss, other):
        prepare(each, interactions)
    batch = make_batch(*pairs(12), num_seeds=len(z))
    check(loss(z, batch), other(z, batch), z)


def test_seeds_are_nodes_of_the_graph(interactions, z):
    """Rows may stand in any order."""
    loss = GuidedSoftmaxLoss(NUM_ITEMS, 3)
    prepare(loss, interactions)
    src, pos = pairs(12)
    perm = torch.randperm(len(z))
    place = perm.argsort()
    moved = make_batch(place[src], place[pos], n_id=perm, num_seeds=len(z))
    expected = loss(z, make_batch(src, pos, num_seeds=len(z)))
    torch.testing.assert_close(loss(z[perm], moved), expected)


def test_a_loop_of_ones_own(interactions):
    model = LTGNN(NUM_USERS, NUM_ITEMS, 8, loss_fn=GuidedSoftmaxLoss(NUM_ITEMS, 3))
    batch = next(iter(PairLoader(Graph.from_interactions(interactions))))
    with pytest.raises(ValueError, match=r"loss_fn.prepare\(graph\)"):
        model.loss(batch)
    prepare(model.loss_fn, interactions)
    model.loss(batch).backward()
    assert model.inputs.weight.grad.abs().sum() > 0.0
    assert not any("guide" in name for name in model.state_dict())


def test_a_copy_is_to_be_prepared_itself():
    """The filter is not copied, and the temperature is."""
    split = blocks()
    loss = GuidedSoftmaxLoss(split.train.num_items, 3, rank=4)
    prepare(loss, split.train)
    other = copy.deepcopy(loss)
    assert loss._guide is not None and other._guide is None
    assert other.tau == loss.tau > 0.12


def test_fit_prepares_it_for_each_training(monkeypatch):
    split, seen = blocks(), []
    monkeypatch.setattr(
        GuidedSoftmaxLoss,
        "prepare",
        lambda self, graph, old=GuidedSoftmaxLoss.prepare: (
            seen.append(graph.num_edges) or old(self, graph)
        ),
    )
    num_items = split.train.num_items
    loss_fn = EGCFLoss(GuidedSoftmaxLoss(num_items, 3, rank=4))
    model = LTGNN(split.train.num_users, num_items, 8, loss_fn=loss_fn)
    fit(model, split, max_epochs=1)
    assert seen == [len(split.train), len(split.train) + len(split.val)]


def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    split = blocks()
    num_users, num_items = split.train.num_users, split.train.num_items
    loss_fn = GuidedSoftmaxLoss(num_items, 3, rank=4)
    fresh = LTGNN(num_users, num_items, 8, loss_fn=loss_fn)
    whole, part = copy.deepcopy(fresh), copy.deepcopy(fresh)
    torch.manual_seed(1)
    fit(whole, split, max_epochs=2, refit=False)

    def stop(row, step):
        raise KeyboardInterrupt

    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        fit(part, split, max_epochs=2, refit=False, folder=tmp_path, log=stop)
    torch.manual_seed(9)
    fit(fresh, split, max_epochs=2, refit=False, folder=tmp_path, resume=True)
    assert torch.equal(whole.inputs.weight, fresh.inputs.weight)


def test_refuses(interactions, z):
    with pytest.raises(ValueError, match="'guide_weight' in"):
        GuidedSoftmaxLoss(NUM_ITEMS, guide_weight=1.5)
    with pytest.raises(ValueError, match="positive 'rank'"):
        GuidedSoftmaxLoss(NUM_ITEMS, rank=0)
    with pytest.raises(ValueError, match="a graph of 21 items"):
        prepare(GuidedSoftmaxLoss(NUM_ITEMS + 1), interactions)
    loss = GuidedSoftmaxLoss(NUM_ITEMS, 3)
    prepare(loss, interactions)
    n_id = torch.arange(len(z)) + 1
    batch = make_batch(*pairs(40), n_id=n_id, num_seeds=len(z))
    batch.dst_pos_index[0] = len(z) - 1
    with pytest.raises(ValueError, match="nodes below 50"):
        loss(z, batch)
