"""Weights of pairs: an objective is linear in them, and ones are none."""

from dataclasses import replace

import pytest
import torch

from ltgnn_pyg import Graph, PairLoader, VRNeighborLoader, fit
from ltgnn_pyg.batch import MicroBatch
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.nn import (
    LTGNN,
    BCELoss,
    BilateralSoftmaxLoss,
    BPRLoss,
    CosineContrastiveLoss,
    DirectAULoss,
    HardNegatives,
    MarginLoss,
    PSLLoss,
    SoftmaxAtKLoss,
    SoftmaxLoss,
)
from tests.toy import blocks

NUM, DIM = 6, 4  # Pairs.
DRAWN = [
    BCELoss(),
    BPRLoss(),
    BPRLoss(hardness=1.0),
    CosineContrastiveLoss(),
    MarginLoss(),
    PSLLoss(in_batch=False),
    SoftmaxLoss(in_batch=False),
]
IN_BATCH = [
    BPRLoss(in_batch=True),
    HardNegatives(MarginLoss(in_batch=True), num_hard=2),
    PSLLoss(),
    SoftmaxLoss(),
    SoftmaxLoss(cosine=False),
    SoftmaxAtKLoss(9, 3),
]


def batch(drawn, weight=None):
    """Pairs of distinct users and items, with two negatives each if they are drawn."""
    seeds = torch.arange(2 * NUM + 3)
    given = {"dst_neg_index": torch.arange(2 * NUM).view(NUM, 2) % 3 + 2 * NUM}
    return MicroBatch(
        n_id=seeds,
        num_seeds=seeds.numel(),
        src_index=seeds[:NUM],
        dst_pos_index=seeds[NUM : 2 * NUM],
        **(given if drawn else {}),
        **({} if weight is None else {"weight": weight}),
    )


def value_and_gradient(loss_fn, drawn, weight=None):
    z = torch.randn(2 * NUM + 3, DIM, generator=torch.Generator().manual_seed(0))
    z = z.double().requires_grad_()
    loss = loss_fn(z, batch(drawn, weight))
    (grad,) = torch.autograd.grad(loss, z)
    return torch.cat([loss.detach().view(1), grad.view(-1)])


@pytest.mark.parametrize("drawn", [True, False])
def test_objectives_are_linear_in_the_weights(drawn):
    weight = torch.tensor([0.1, 2.0, 0.0, 1.0, 3.0, 0.5]).double()
    for loss_fn in DRAWN if drawn else IN_BATCH:
        assert loss_fn.takes_weights
        plain = value_and_gradient(loss_fn, drawn)
        ones = value_and_gradient(loss_fn, drawn, torch.ones(NUM).double())
        torch.testing.assert_close(ones, plain)
        each = [
            value_and_gradient(loss_fn, drawn, unit)
            for unit in torch.eye(NUM, dtype=torch.double)
        ]
        expected = (weight.unsqueeze(1) * torch.stack(each)).sum(0)
        torch.testing.assert_close(value_and_gradient(loss_fn, drawn, weight), expected)


def test_negatives_of_a_pair_weigh_as_it_does():
    """By hand: the first pair alone, over the number of pairs."""
    unit = torch.eye(NUM).double()[0]
    found = value_and_gradient(BPRLoss(), True, unit)[0]
    z = torch.randn(2 * NUM + 3, DIM, generator=torch.Generator().manual_seed(0))
    z = z.double()
    neg = z[[2 * NUM, 2 * NUM + 1]] @ z[0]
    expected = torch.nn.functional.softplus(neg - z[0] @ z[NUM]).mean() / NUM
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("loss_fn", [BilateralSoftmaxLoss(), DirectAULoss()])
def test_others_refuse_them(loss_fn):
    split = weighted()
    model = LTGNN(split.train.num_users, split.train.num_items, 4, loss_fn=loss_fn)
    with pytest.raises(ValueError, match="weights"):
        model.loss(next(iter(PairLoader(Graph.from_interactions(split.train)))))


def weighted():
    split = blocks()
    weight = torch.rand(len(split.train)) + 0.5
    train = replace(split.train, weight=weight)
    val = replace(split.val, weight=torch.ones(len(split.val)))
    return replace(split, train=train, val=val)


def test_loaders_hand_them_out():
    """Each pair's own, over the mean, in rounds, inner steps and the paper's step."""
    train = weighted().train
    graph = Graph.from_interactions(train)
    expected = train.weight / train.weight.mean()
    model = LTGNN(train.num_users, train.num_items, 4)
    loaders = [
        PairLoader(graph, batch_size=16, num_rounds=3),
        PairLoader(graph, batch_size=16, num_rounds=3, inner_steps=True),
        VRNeighborLoader(graph, model, batch_size=16),
    ]
    for loader in loaders:
        for each in loader:
            torch.testing.assert_close(each.weight, expected[each.input_id])
            for part in each.micro_batches():
                torch.testing.assert_close(part.weight, expected[part.input_id])


def test_pairs_that_weigh_nothing_are_not_learned():
    """In graph and objective alike: a pair of little weight is nearly not there."""
    split = blocks()
    train = split.train
    other = Interactions(
        torch.tensor([0, 1]), torch.tensor([31, 30]), train.num_users, train.num_items
    )
    small = Interactions.cat(
        replace(train, weight=torch.ones(len(train))),
        replace(other, weight=torch.full((2,), 1e-7)),
    )
    vectors = []
    for part in (replace(train, weight=torch.ones(len(train))), small):
        torch.manual_seed(0)
        model = LTGNN(train.num_users, train.num_items, 4).double()
        loader = PairLoader(
            Graph.from_interactions(part),
            train_pairs(part, train),
            edge_label_weight=part.weight[: len(train)],
            shuffle=False,
        )
        loss = model.loss(next(iter(loader)))
        loss.backward()
        vectors.append(model.inputs.weight.grad)
    torch.testing.assert_close(vectors[0], vectors[1], atol=1e-3, rtol=1e-2)


def train_pairs(part, train):
    return Graph.from_interactions(part).pairs(train)


def test_fit_takes_them():
    split = weighted()
    model = LTGNN(split.train.num_users, split.train.num_items, 4)
    report = fit(model, split, max_epochs=2)
    assert report.graph.edges.weight is not None
    assert report.curve[-1]["loss"] > 0.0
