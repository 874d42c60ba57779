import math

import pytest
import torch

from ltgnn_pyg.nn.loss import BPRLoss
from tests.nn.loss.batches import NEGATIVES, POS, check, make_batch, pairs


@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("corrected", [True, False])
def test_bpr(z, log_q, kind, cosine, corrected):
    q = log_q if corrected and kind != "batch" else None
    terms = []
    for b, (_, pos, neg) in enumerate(pairs(z, kind, cosine, 0.5, q)):
        pos = pos - (0.0 if q is None else q[POS[b]])
        terms.append(-torch.log(torch.sigmoid(pos - neg)).mean())
    loss = BPRLoss(cosine, 0.5, in_batch=kind == "batch")
    check(loss, z, kind, torch.stack(terms).mean(), log_q if corrected else None)


@pytest.mark.parametrize("kind", NEGATIVES)
def test_bpr_of_hard_negatives(z, kind):
    expected = 0.0
    for _, pos, neg in pairs(z, kind, True, 0.5):
        weight = [math.exp(3.0 * s) for s in neg.tolist()]  # Not differentiated.
        for w, s in zip(weight, neg, strict=True):
            term = -torch.log(torch.sigmoid(pos - s))
            expected = expected + w / sum(weight) * term / 4
    loss_fn = BPRLoss(True, 0.5, hardness=3.0, in_batch=kind == "batch")
    loss = loss_fn(z, make_batch(neg=NEGATIVES[kind]))
    torch.testing.assert_close(loss, expected)
    grads = (torch.autograd.grad(value, z)[0] for value in (loss, expected))
    torch.testing.assert_close(*grads)
