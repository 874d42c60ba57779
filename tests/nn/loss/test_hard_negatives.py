import pytest
import torch

from ltgnn_pyg.nn.loss import BCELoss, BPRLoss, HardNegatives, SoftmaxLoss
from tests.nn.loss.batches import NEGATIVES, check, make_batch, pairs


@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("cosine", [True, False])
def test_hard_negatives(z, kind, cosine):
    num = 1 if kind == "one" else 2
    terms = [
        -torch.log(torch.sigmoid(pos - s))
        for _, pos, neg in pairs(z, kind, cosine)
        # Never the pair's own item, which a shared candidate may be.
        for s in neg[neg != pos].unique().sort(descending=True).values[:num]
    ]
    objective = BPRLoss(cosine, in_batch=kind == "batch")
    loss = HardNegatives(objective, 2)
    assert loss.cosine == cosine
    check(loss, z, kind, torch.stack(terms).mean())
    loss.num_hard = 0  # All of them.
    batch = make_batch(neg=NEGATIVES[kind])
    torch.testing.assert_close(loss(z, batch), objective(z, batch))


def test_hard_negatives_prepare_their_objective():
    given = []

    class Asking(BCELoss):
        def prepare(self, *what):
            given.append(what)

    graph = object()
    HardNegatives(Asking(), 1).prepare(graph)
    assert given == [(graph,)]


@pytest.mark.parametrize("corrected", [True, False])
def test_hard_negatives_are_corrected_like_others(z, log_q, corrected):
    batch = make_batch(neg=NEGATIVES["many"], log_q=log_q if corrected else None)
    loss = SoftmaxLoss(0.5, in_batch=False)
    every = HardNegatives(loss, 2)(z, batch)  # There are no more than two.
    torch.testing.assert_close(every, loss(z, batch))
