"""The duties of every objective."""

import math

import pytest
import torch

from ltgnn_pyg.nn.loss import (
    BCELoss,
    BilateralSoftmaxLoss,
    BPRLoss,
    CosineContrastiveLoss,
    DirectAULoss,
    DistillationLoss,
    HardNegatives,
    MarginLoss,
    Objective,
    PSLLoss,
    SoftmaxAtKLoss,
    SoftmaxLoss,
    UltraGCNLoss,
)
from tests.nn.loss.batches import NEGATIVES, make_batch

IN_BATCH = [
    SoftmaxLoss(),
    BilateralSoftmaxLoss(),
    BPRLoss(in_batch=True),
    BPRLoss(hardness=2.0, in_batch=True),
    BCELoss(in_batch=True),
    MarginLoss(in_batch=True),
    CosineContrastiveLoss(in_batch=True),
    DirectAULoss(),
    DistillationLoss(100, torch.randn(7, 5)),
    HardNegatives(BCELoss(in_batch=True), 3),
    PSLLoss(),
    SoftmaxAtKLoss(100),
]
DRAWN = [
    SoftmaxLoss(in_batch=False),
    BilateralSoftmaxLoss(in_batch=False),
    BPRLoss(),
    BCELoss(),
    MarginLoss(),
    CosineContrastiveLoss(),
    HardNegatives(BPRLoss(), 1),
    PSLLoss(in_batch=False),
    SoftmaxAtKLoss(100, in_batch=False),
]


@pytest.mark.parametrize("loss", IN_BATCH, ids=repr)
def test_single_pair(loss):
    z = torch.randn(2, 3, requires_grad=True)
    batch = make_batch(torch.tensor([0]), torch.tensor([1]), num_seeds=2)
    value = loss(z, batch)
    value.backward()
    assert math.isfinite(value.detach()) and z.grad.isfinite().all()


@pytest.mark.parametrize("loss", IN_BATCH + DRAWN, ids=repr)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_types_are_computed_in_full(loss, dtype):
    z = torch.randn(7, 3).to(dtype).requires_grad_()
    full = z.detach().float().requires_grad_()
    neg = NEGATIVES["many"] if any(loss is other for other in DRAWN) else None
    values = [loss(rows, make_batch(neg=neg)) for rows in (z, full)]
    values[0].backward()
    values[1].backward()
    assert values[0].dtype == torch.float32 and z.grad.dtype == dtype
    torch.testing.assert_close(*values, rtol=0.03, atol=0.03)
    # As near as the steps of normalising in a narrow type allow.
    bound = 0.05 * float(full.grad.norm()) + 0.02
    assert float((z.grad.float() - full.grad).norm()) < bound


@pytest.mark.parametrize("loss", IN_BATCH, ids=repr)
def test_same_to_the_bit_again(loss):
    z = torch.randn(300, 8, requires_grad=True)
    if isinstance(loss, DistillationLoss):
        loss = DistillationLoss(100, torch.randn(300, 4))
    src, pos = torch.randint(0, 150, (2000,)), torch.randint(150, 300, (2000,))
    batch = make_batch(src, pos, num_seeds=300)
    grads = [torch.autograd.grad(loss(z, batch), z)[0] for _ in range(2)]
    assert torch.equal(*grads)


def test_errors_of_arguments():
    nan = float("nan")
    for make in (
        lambda: BCELoss(-1.0),
        lambda: BCELoss(nan),
        lambda: CosineContrastiveLoss(nan),
        lambda: CosineContrastiveLoss(0.5, -3.0),
        lambda: MarginLoss(nan),
        lambda: DirectAULoss(-1.0),
        lambda: DirectAULoss(nan),
        lambda: HardNegatives(BCELoss(), -1),
        lambda: HardNegatives(UltraGCNLoss(), 1),
        lambda: HardNegatives(DirectAULoss(), 1),
    ):
        with pytest.raises(ValueError, match="Expected"):
            make()


@pytest.mark.parametrize("loss", IN_BATCH + DRAWN, ids=repr)
def test_every_objective_says_how_it_is_scored(loss):
    assert isinstance(loss, Objective) and isinstance(loss.cosine, bool)
    bias = loss.item_bias(torch.tensor([1.0, 2.0]))
    assert bias is None or bias.size() == (2,)


# DirectAU needs none, and ignores them.
REFUSING = [loss for loss in IN_BATCH if not isinstance(loss, DirectAULoss)]


@pytest.mark.parametrize("loss", REFUSING, ids=repr)
def test_refuses_drawn_negatives(z, loss):
    with pytest.raises(ValueError, match="without 'neg_sampling'"):
        loss(z, make_batch(neg=NEGATIVES["one"]))


@pytest.mark.parametrize("loss", DRAWN, ids=repr)
def test_refuses_a_batch_without_negatives(z, loss):
    with pytest.raises(ValueError, match=r"drawn negatives \(got none\)"):
        loss(z, make_batch())


def test_bad_arguments(z):
    for temperature in (0.0, math.nan):
        with pytest.raises(ValueError, match="positive 'temperature'"):
            SoftmaxLoss(temperature)
        with pytest.raises(ValueError, match="positive 'temperature'"):
            DistillationLoss(100, z, temperature=temperature)
    with pytest.raises(ValueError, match="positive 'pos_temperature'"):
        BilateralSoftmaxLoss(pos_temperature=0.0)
    with pytest.raises(ValueError, match="'num_hard'"):
        HardNegatives(BPRLoss(), -1)
    for hardness in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="'hardness'"):
            BPRLoss(hardness=hardness)
    with pytest.raises(ValueError, match="'teacher_weight'"):
        DistillationLoss(100, z, teacher_weight=1.5)
    for teacher in (z[0], torch.ones(7, 3, dtype=torch.long)):
        with pytest.raises(ValueError, match="'teacher' as embeddings"):
            DistillationLoss(100, teacher)
    with pytest.raises(ValueError, match="a row of 'teacher' for each node"):
        DistillationLoss(100, z[:5])(z, make_batch())
    with pytest.raises(ValueError, match="some of the items"):
        HardNegatives(DistillationLoss(100, z), 1)
    with pytest.raises(ValueError, match="compares positives with negatives"):
        HardNegatives(DirectAULoss(), 1)
