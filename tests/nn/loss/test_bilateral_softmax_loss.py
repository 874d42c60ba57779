import math

import pytest
import torch

from ltgnn_pyg.nn.loss import BilateralSoftmaxLoss
from tests.nn.loss.batches import NEGATIVES, check, make_batch, pairs, table


@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("corrected", [True, False])
def test_bilateral_softmax(z, log_q, kind, corrected):
    q = log_q if corrected and kind != "batch" else None
    of_user = {}
    for user, pos, neg in pairs(z, kind, True, 0.5, q):
        of_user.setdefault(user, []).append((pos * 0.5, neg))
    terms = []
    for drawn in of_user.values():
        one = torch.stack([pos / 0.8 for pos, _ in drawn]).exp().mean().log()
        rest = torch.cat([neg for _, neg in drawn]).exp().mean().log()
        terms.append(-0.8 * one + 0.5 * rest)
    loss = BilateralSoftmaxLoss(0.5, pos_temperature=0.8, in_batch=kind == "batch")
    check(loss, z, kind, torch.stack(terms).mean(), log_q if corrected else None)


@pytest.mark.parametrize("shape", [(1, 5), (3, 5)])
def test_bilateral_softmax_of_one_temperature_is_softmax(shape):
    """Of users with a pair each, and without the positive in the denominator."""
    z = torch.randn(12, 3, dtype=torch.double)
    neg = torch.randint(6, 12, shape)
    batch = make_batch(torch.arange(3), torch.tensor([6, 7, 8]), neg, num_seeds=12)
    loss = BilateralSoftmaxLoss(0.5, pos_temperature=0.5, in_batch=False)
    pos, neg = loss.scores(z, batch, batch.dst_neg_index)
    softmax = (neg.exp().sum(1).log() - pos).mean()  # The sum form of its paper.
    expected = 0.5 * (softmax - math.log(5))
    torch.testing.assert_close(loss(z, batch), expected)


def test_bilateral_softmax_without_negatives():
    z = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    src, pos = torch.tensor([0, 1]), torch.tensor([2, 2])  # All the same item.
    BilateralSoftmaxLoss()(z, make_batch(src, pos, num_seeds=4)).backward()
    assert z.grad.isfinite().all()


def test_corrected_bilateral_softmax_leaves_nothing_out():
    """Of all a user's items as often as taken: ln p(i | u), at 1 / (1/t2 - 1/t1)."""
    loss, q = BilateralSoftmaxLoss(0.5, 2.0, False, False), torch.tensor([4, 3, 1, 2])
    count = torch.tensor([8, 2, 2, 12])
    pos = 2 + torch.repeat_interleave(torch.arange(4), count)
    neg = 2 + torch.repeat_interleave(torch.arange(4), q).unsqueeze(0)
    log_q = torch.cat([torch.zeros(2), q.double().log()])
    batch = make_batch(torch.ones_like(pos), pos, neg, log_q)
    optimum = count.double().log() / (1 / 0.5 - 1 / 2.0)
    score = torch.stack([torch.zeros(4).double(), optimum]).requires_grad_()
    (grad,) = torch.autograd.grad(loss(table(score), batch), score)
    torch.testing.assert_close(grad, torch.zeros_like(grad), atol=1e-12, rtol=0.0)
