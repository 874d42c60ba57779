import pytest
import torch

from ltgnn_pyg.nn.loss import DistillationLoss, SoftmaxLoss
from tests.nn.loss.batches import NEGATIVES, POS, SRC, check, make_batch, pairs


@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("corrected", [True, False])
def test_softmax(z, log_q, kind, cosine, corrected):
    q = log_q if corrected and kind != "batch" else None
    terms = []
    for b, (_, pos, neg) in enumerate(pairs(z, kind, cosine, 0.5, q)):
        pos = pos - (0.0 if q is None else q[POS[b]])
        terms.append(-torch.cat([pos.view(1), neg]).log_softmax(0)[0])
    loss = SoftmaxLoss(0.5, cosine, in_batch=kind == "batch")
    check(loss, z, kind, torch.stack(terms).mean(), log_q if corrected else None)


def test_corrected_softmax_estimates_the_full_one():
    # With every item in the batch as often as it is drawn, dividing by that leaves
    # the softmax over all items, each once.
    z = torch.randn(5, 3, dtype=torch.double)
    count = torch.tensor([1, 2, 3])
    draws = torch.repeat_interleave(torch.arange(2, 5), count).unsqueeze(0)
    log_q = torch.cat([torch.zeros(2), count.log()]).double()
    src, pos = torch.tensor([0]), torch.tensor([2])
    loss = SoftmaxLoss(0.5, in_batch=False)
    neg = draws[:, draws[0] != 2]
    every = loss(z, make_batch(src, pos, torch.tensor([[3, 4]]), num_seeds=5))
    drawn = loss(z, make_batch(src, pos, neg, log_q, num_seeds=5))
    torch.testing.assert_close(drawn, every)


@pytest.mark.parametrize(
    "loss", [SoftmaxLoss(), DistillationLoss(100, torch.randn(7, 5))]
)
def test_softmax_under_autocast(z, loss):
    z = z.detach().float().requires_grad_()
    expected = loss(z, make_batch())
    (wanted,) = torch.autograd.grad(expected, z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(z, make_batch())
    value.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(z.grad, wanted)


def test_softmax_compiles():
    z = torch.randn(7, 3, requires_grad=True)
    loss = SoftmaxLoss()

    def forward(z, src, pos):
        return loss(2 * z, make_batch(src, pos)) + z.square().sum()

    (expected,) = torch.autograd.grad(forward(z, SRC, POS), z)
    compiled = torch.compile(forward, backend="aot_eager")
    (actual,) = torch.autograd.grad(compiled(z, SRC, POS), z)
    torch.testing.assert_close(actual, expected)
