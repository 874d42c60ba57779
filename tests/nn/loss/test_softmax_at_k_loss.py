import itertools
import math

import pytest
import torch

from ltgnn_pyg.nn.loss import HardNegatives, SoftmaxAtKLoss, SoftmaxLoss
from tests.nn.loss.batches import NEGATIVES, dense_in_batch_softmax, make_batch, pairs


def largest(scores, rank):
    """The largest but rank - 1 of some scores, between two of them if need be."""
    scores = [*sorted(scores, reverse=True), *[-1e30] * 5]
    rank = max(rank, 1.0)
    low, high = scores[math.floor(rank) - 1], scores[math.ceil(rank) - 1]
    return low + (rank - math.floor(rank)) * (high - low)


def place(own, others, num, num_items, k):
    """The k-th largest of all items, from a sample of others."""
    share = num / (num_items - 1)
    found = max(own, largest(others, k * share))
    return found if k == 1 else min(found, largest(others, (k - 1) * share))


def check(actual, expected, z):
    torch.testing.assert_close(actual, expected)
    grads = (torch.autograd.grad(value, z)[0] for value in (actual, expected))
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_from_its_equation(z, kind, cosine, k):
    terms = []
    for _, pos, neg in pairs(z, kind, cosine, 0.5):
        num = 3 if kind == "batch" else len(neg)  # There, one may be its own.
        beta = place(float(pos.detach()), neg.tolist(), num, 6, k)
        weight = torch.sigmoid(0.5 * (pos.detach() - beta) / 0.7)
        terms.append(-weight * torch.cat([pos.view(1), neg]).log_softmax(0)[0])
    loss = SoftmaxAtKLoss(6, k, 0.5, 0.7, cosine, in_batch=kind == "batch")
    check(loss(z, make_batch(neg=NEGATIVES[kind])), torch.stack(terms).mean(), z)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("in_batch", [True, False])
def test_exact_with_all_items_at_hand(k, in_batch):
    """The k-th largest score of all items, whichever item is the pair's own."""
    z = torch.randn(8, 4, dtype=torch.double, requires_grad=True)
    unit, item = z / z.norm(dim=1, keepdim=True), torch.arange(3, 8)
    loss = SoftmaxAtKLoss(5, k, 0.5, 0.3, in_batch=in_batch)
    for user in itertools.product(range(3), repeat=5):
        src = torch.tensor(user)
        score = unit[src] @ unit[item].t()
        beta = score.detach().sort(dim=1, descending=True).values[:, k - 1]
        weight = torch.sigmoid((score.detach().diagonal() - beta) / 0.3)
        each = -(score / 0.5).log_softmax(1).diagonal()
        others = torch.stack([item[item != i] for i in item])
        batch = make_batch(src, item, None if in_batch else others, num_seeds=8)
        torch.testing.assert_close(loss(z, batch), (weight * each).mean())
    check(loss(z, batch), (weight * each).mean(), z)


@pytest.mark.parametrize("kind", NEGATIVES)
def test_of_an_endless_temperature_it_is_half_of_softmax(z, kind):
    in_batch, batch = kind == "batch", make_batch(neg=NEGATIVES[kind])
    loss = SoftmaxAtKLoss(6, 2, 0.5, math.inf, in_batch=in_batch)
    check(loss(z, batch), SoftmaxLoss(0.5, in_batch=in_batch)(z, batch) / 2, z)


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("k", [3, 40])
def test_in_chunks(cosine, k):
    z = torch.randn(450, 4, dtype=torch.double, requires_grad=True)
    src, pos = torch.randint(0, 25, (2500,)), torch.randint(25, 450, (2500,))
    rows = z / z.norm(dim=1, keepdim=True) if cosine else z
    score = dense_in_batch_softmax(rows, src, pos, 0.5)
    own, share = score.diagonal(), 2499 / 49999
    others = (
        score.detach()
        .clone()
        .fill_diagonal_(float("-inf"))
        .sort(descending=True)
        .values
    )

    def at(rank):
        rank = max(rank, 1.0)
        low, high = others[:, int(rank) - 1], others[:, math.ceil(rank) - 1]
        return low.lerp(high, rank - int(rank))

    beta, top = at(k * share), at((k - 1) * share)
    beta = torch.minimum(torch.maximum(own.detach(), beta), top)
    weight = torch.sigmoid(0.5 * (own.detach() - beta) / 0.3)
    expected = -(weight * score.log_softmax(1).diagonal()).mean()
    loss = SoftmaxAtKLoss(50_000, k, 0.5, 0.3, cosine)
    check(loss(z, make_batch(src, pos, num_seeds=450)), expected, z)


def test_a_sample_finds_the_place():
    """Over many samples, the estimate lies where the k-th of all items does."""
    num_items, amount, num = 2000, 400, 300
    user, item = torch.ones(1, 1), torch.randn(num_items, 1).sort(0).values
    z = torch.cat([user, item]).double()
    neg = torch.stack([torch.randperm(num_items - 1)[:amount] + 1 for _ in range(num)])
    batch = make_batch(
        torch.zeros(num, dtype=torch.long), torch.full((num,), num_items), neg
    )
    loss = SoftmaxAtKLoss(num_items, 20, 1.0, cosine=False, in_batch=False)
    pos, score = loss.scores(z, batch, neg)
    beta = loss._threshold(pos, score, amount)
    above = (item.view(-1) >= beta.view(-1, 1).float()).sum(1).double()
    assert 17 < above.mean() < 23


def test_item_bias_is_that_of_softmax():
    degree = torch.tensor([3.0, 1.0, 4.0])
    expected = SoftmaxLoss(0.3).item_bias(degree)
    torch.testing.assert_close(SoftmaxAtKLoss(3, 2, 0.3).item_bias(degree), expected)
    assert SoftmaxAtKLoss(3, 2, in_batch=False).item_bias(degree) is None


def test_bad_arguments(z):
    for k in (0, 4):
        with pytest.raises(ValueError, match="'k' in"):
            SoftmaxAtKLoss(3, k)
    for temperature in (0.0, math.nan):
        with pytest.raises(ValueError, match="'weight_temperature'"):
            SoftmaxAtKLoss(3, 2, weight_temperature=temperature)
    with pytest.raises(ValueError, match="some of the items"):
        HardNegatives(SoftmaxAtKLoss(6, 2), 1)
    loss = SoftmaxAtKLoss(6, 2, in_batch=False)
    with pytest.raises(ValueError, match="drawn uniformly"):
        loss(z, make_batch(neg=NEGATIVES["many"], log_q=torch.zeros(7)))
