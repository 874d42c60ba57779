"""Temperatures and density ratios: the optimum, and the bias that it leaves out."""

import itertools
import math

import pytest
import torch

from ltgnn_pyg import Graph
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.nn.loss import (
    BCELoss,
    BilateralSoftmaxLoss,
    BPRLoss,
    CosineContrastiveLoss,
    DirectAULoss,
    DistillationLoss,
    EGCFLoss,
    HardNegatives,
    MarginLoss,
    PSLLoss,
    SoftmaxAtKLoss,
    SoftmaxLoss,
)
from tests.nn.loss.batches import (
    OF_ITEM,
    OF_USER,
    WORLD,
    WORLD_PAIRS,
    make_batch,
    table,
)

BY_DENSITY = {
    "softmax": lambda t=None: SoftmaxLoss(t),
    "at k": lambda t=None: SoftmaxAtKLoss(400, 3, t),
    "taught": lambda t=None: DistillationLoss(400, torch.randn(500, 3), 3, t),
    "around": lambda t=None: EGCFLoss(SoftmaxLoss(t)),
    "hard": lambda t=None: HardNegatives(SoftmaxLoss(t), 2),
}


@pytest.mark.parametrize("name", BY_DENSITY)
@pytest.mark.parametrize("num", [10, 400, 1600])
def test_temperature_by_density(name, num):
    """0.79 over the logarithm of one over the density, of 100 users and 400 items."""
    generator = torch.Generator().manual_seed(0)
    pair = torch.randperm(40_000, generator=generator)[:num]
    pairs = Interactions(pair // 400, pair % 400, 100, 400)
    graph = Graph.from_interactions(pairs)
    expected = max(0.12, 0.79 / math.log(40_000 / num))
    assert (expected > 0.12) == (num > 10)
    loss, fixed, degree = BY_DENSITY[name](), BY_DENSITY[name](0.3), torch.arange(1, 9)
    before = loss.item_bias(degree)
    torch.testing.assert_close(before, 0.12 * degree.log())
    text = repr(loss)
    for each, temperature in ((loss, expected), (fixed, 0.3)):
        each.prepare(graph)
        torch.testing.assert_close(each.item_bias(degree), temperature * degree.log())
    other = BY_DENSITY[name]()
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.item_bias(degree), loss.item_bias(degree))
    assert repr(loss) == text and "temperature=None" in text
    assert "temperature=0.3" in repr(fixed)


@pytest.mark.parametrize("cls", [PSLLoss, BCELoss, BPRLoss, MarginLoss])
def test_a_temperature_must_be_given(cls):
    with pytest.raises(ValueError, match="temperature"):
        cls(temperature=None)


def test_temperature_of_all_pairs_and_of_none():
    pair, none = torch.arange(12), torch.empty(0, dtype=torch.long)
    everything = Interactions(pair // 4, pair % 4, 3, 4)
    nothing = Interactions(none, none, 1000, 1000)
    for pairs, expected in ((everything, 0.79), (nothing, 0.12)):
        loss = SoftmaxLoss()
        loss.prepare(Graph.from_interactions(pairs))
        assert loss.tau == expected


def expected_in_batch(loss, score):
    """The mean loss of all batches of two independent pairs."""
    total = 0.0
    for (u, i), (v, j) in itertools.product(WORLD_PAIRS, repeat=2):
        batch = make_batch(torch.tensor([u, v]), torch.tensor([2 + i, 2 + j]))
        total = total + WORLD[u, i] * WORLD[v, j] * loss(table(score), batch)
    return total


def expected_drawn(loss, score, q):
    """The mean loss of a pair and one negative drawn as often as q says."""
    log_q, total = torch.cat([torch.zeros(2), q.log()]), 0.0
    for (u, i), j in itertools.product(WORLD_PAIRS, range(4)):
        batch = make_batch(
            torch.tensor([u]), torch.tensor([2 + i]), torch.tensor([2 + j]), log_q
        )
        total = total + WORLD[u, i] * q[j] * loss(table(score), batch)
    return total


def check_optimum(expected, score):
    """The objectives are convex in the scores: no gradient means the optimum."""
    score = score.clone().requires_grad_()
    (grad,) = torch.autograd.grad(expected(score), score)
    torch.testing.assert_close(grad, torch.zeros_like(grad), atol=1e-12, rtol=0.0)
    (grad,) = torch.autograd.grad(expected(score * 0.9), score)
    assert grad.abs().max() > 1e-4


RATIOS = {
    "softmax": lambda in_batch: SoftmaxLoss(0.5, False, in_batch),
    "bpr": lambda in_batch: BPRLoss(False, 0.5, in_batch=in_batch),
    "bce": lambda in_batch: BCELoss(2.0, False, 0.5, in_batch),
}


@pytest.mark.parametrize("name", RATIOS)
def test_item_bias_makes_a_density_ratio_a_density(name):
    """Negatives as popular as they are: s + bias ranks as ln p(i | u) does."""
    loss = RATIOS[name](True)
    target = OF_USER.log()
    if name == "bce":  # The pair's own item is no negative: odds, in that order too.
        target = torch.logit(OF_USER) - math.log(2.0)
    score = 0.5 * (target - OF_ITEM.log())
    check_optimum(lambda s: expected_in_batch(loss, s), score)
    rest = score + loss.item_bias(1000 * OF_ITEM) - 0.5 * target
    torch.testing.assert_close(rest, torch.full_like(rest, 0.5 * math.log(1000)))


@pytest.mark.parametrize("name", RATIOS)
def test_corrected_negatives_leave_nothing_out(name):
    """Negatives drawn in any way that log_q tells: s is ln p(i | u) itself."""
    loss, q = RATIOS[name](False), torch.tensor([4, 3, 1, 2]).double() / 10
    target = OF_USER.log() - (math.log(2.0) if name == "bce" else 0.0)
    check_optimum(lambda s: expected_drawn(loss, s, q), 0.5 * target)
    assert loss.item_bias(OF_ITEM) is None


def test_item_bias():
    degree = torch.tensor([0, 4, 1, 2])
    expected = torch.tensor([1.0, 4.0, 1.0, 2.0]).log()
    for loss in RATIOS.values():
        torch.testing.assert_close(loss(True).item_bias(degree), 0.5 * expected)
        assert loss(False).item_bias(degree) is None
    of = {
        "bilateral": BilateralSoftmaxLoss(0.5, in_batch=True),
        "teacher": DistillationLoss(100, torch.randn(7, 5), temperature=0.5),
        "hard": HardNegatives(BPRLoss(temperature=0.5, in_batch=True), 2),
    }
    for loss in of.values():
        torch.testing.assert_close(loss.item_bias(degree), 0.5 * expected)
    none = (MarginLoss(in_batch=True), CosineContrastiveLoss(in_batch=True))
    for loss in (*none, DirectAULoss(), HardNegatives(BPRLoss(), 2)):
        assert loss.item_bias(degree) is None
    weighted = SoftmaxLoss(1.0).item_bias(torch.tensor([0.0, 0.5, 2.0]).double())
    torch.testing.assert_close(weighted, torch.tensor([0.5, 0.5, 2.0]).double().log())
    assert torch.equal(SoftmaxLoss().item_bias(torch.zeros(3)), torch.zeros(3))
