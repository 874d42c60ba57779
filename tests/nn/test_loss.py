import math

import pytest
import torch
from torch.autograd import gradcheck

from ltgnn_pyg.nn.loss import (
    BCELoss,
    BilateralSoftmaxLoss,
    BPRLoss,
    CosineContrastiveLoss,
    DirectAULoss,
    HardNegatives,
    MarginLoss,
    SoftmaxLoss,
)

SRC = torch.tensor([0, 1, 0, 2])
POS = torch.tensor([3, 4, 5, 3])
NEGATIVES = {
    "one": torch.tensor([4, 5, 6, 6]),
    "many": torch.tensor([[4, 6], [5, 3], [6, 4], [6, 5]]),
    "shared": torch.tensor([[6, 4, 5]]),
    "batch": None,
}


@pytest.fixture
def z():
    return torch.randn(7, 3, dtype=torch.double, requires_grad=True)


@pytest.fixture
def log_q():
    return torch.rand(7, dtype=torch.double).log()


def pairs(z, kind, cosine, temperature=1.0, log_q=None):
    """A pair's user, positive score and negative scores, one after the other."""
    z = z / z.norm(dim=1, keepdim=True) if cosine else z
    neg = NEGATIVES[kind]
    for b in range(4):
        if neg is None:
            rows = [j for j in POS.tolist() if j != POS[b]]
        else:
            all_rows = neg if neg.dim() == 2 else neg.unsqueeze(1)
            rows = all_rows[0 if kind == "shared" else b].tolist()
        score = z[[int(POS[b]), *rows]] @ z[SRC[b]] / temperature
        shift = 0.0 if log_q is None else log_q[rows]
        yield int(SRC[b]), score[0], score[1:] - shift


def check(loss, z, kind, expected, log_q=None):
    neg = NEGATIVES[kind]
    torch.testing.assert_close(loss(z, SRC, POS, neg, log_q), expected)
    assert gradcheck(lambda z: loss(z, SRC, POS, neg, log_q), z)


@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("cosine", [True, False])
def test_bpr(z, kind, cosine):
    terms = [
        -torch.log(torch.sigmoid(pos - neg)).mean()
        for _, pos, neg in pairs(z, kind, cosine, 0.5)
    ]
    check(BPRLoss(cosine, 0.5), z, kind, torch.stack(terms).mean())


@pytest.mark.parametrize("kind", NEGATIVES)
def test_bpr_of_hard_negatives(z, kind):
    expected = 0.0
    for _, pos, neg in pairs(z, kind, True, 0.5):
        weight = [math.exp(3.0 * s) for s in neg.tolist()]  # Not differentiated.
        for w, s in zip(weight, neg, strict=True):
            term = -torch.log(torch.sigmoid(pos - s))
            expected = expected + w / sum(weight) * term / 4
    loss = BPRLoss(True, 0.5, hardness=3.0)(z, SRC, POS, NEGATIVES[kind])
    torch.testing.assert_close(loss, expected)
    grads = (torch.autograd.grad(value, z)[0] for value in (loss, expected))
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("kind", NEGATIVES)
def test_bce(z, kind):
    drawn = list(pairs(z, kind, False))
    one = torch.stack([-torch.log(torch.sigmoid(pos)) for _, pos, _ in drawn])
    zero = torch.cat([-torch.log(1 - torch.sigmoid(neg)) for _, _, neg in drawn])
    check(BCELoss(2.0), z, kind, one.mean() + 2 * zero.mean())


@pytest.mark.parametrize("kind", NEGATIVES)
def test_margin(z, kind):
    terms = [
        torch.clamp(s - pos + 0.3, min=0.0)
        for _, pos, neg in pairs(z, kind, True)
        for s in neg
    ]
    check(MarginLoss(0.3), z, kind, torch.stack(terms).mean())


@pytest.mark.parametrize("kind", NEGATIVES)
def test_cosine_contrastive(z, kind):
    drawn = list(pairs(z, kind, True))
    one = torch.stack([1 - pos for _, pos, _ in drawn])
    rest = torch.cat([torch.clamp(neg - 0.1, min=0.0) for _, _, neg in drawn])
    loss = CosineContrastiveLoss(0.1, negative_weight=5.0)
    check(loss, z, kind, one.mean() + 5 * rest.mean())


@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("corrected", [True, False])
def test_softmax(z, log_q, kind, cosine, corrected):
    q = log_q if corrected else None
    terms = []
    for b, (_, pos, neg) in enumerate(pairs(z, kind, cosine, 0.5, q)):
        pos = pos - (log_q[POS[b]] if corrected else 0.0)
        terms.append(-torch.cat([pos.view(1), neg]).log_softmax(0)[0])
    loss = SoftmaxLoss(0.5, cosine, log_q=True)
    check(loss, z, kind, torch.stack(terms).mean(), q)
    ignores = SoftmaxLoss(0.5, cosine)
    neg = NEGATIVES[kind]
    plain = loss(z, SRC, POS, neg)
    torch.testing.assert_close(ignores(z, SRC, POS, neg, log_q), plain)


def test_in_batch_softmax_in_chunks(z):
    torch.manual_seed(0)
    z = torch.randn(50, 4, dtype=torch.double, requires_grad=True)
    src, pos = torch.randint(0, 25, (2500,)), torch.randint(25, 50, (2500,))
    score = z[src] @ z[pos].t() / 0.5
    same = (pos.unsqueeze(1) == pos).fill_diagonal_(False)
    score = score.masked_fill(same, float("-inf"))
    expected = torch.nn.functional.cross_entropy(score, torch.arange(2500))
    loss = SoftmaxLoss(0.5, cosine=False)(z, src, pos)
    torch.testing.assert_close(loss, expected)
    grads = (torch.autograd.grad(value, z)[0] for value in (loss, expected))
    torch.testing.assert_close(*grads)


def test_corrected_softmax_estimates_the_full_one():
    # With every item in the batch as often as it is drawn, dividing by that leaves
    # the softmax over all items, each once.
    z = torch.randn(5, 3, dtype=torch.double)
    count = torch.tensor([1, 2, 3])
    draws = torch.repeat_interleave(torch.arange(2, 5), count).unsqueeze(0)
    log_q = torch.cat([torch.zeros(2), count.log()]).double()
    loss, src, pos = SoftmaxLoss(0.5, log_q=True), torch.tensor([0]), torch.tensor([2])
    neg = draws[:, draws[0] != 2]
    every = loss(z, src, pos, torch.tensor([[3, 4]]))
    torch.testing.assert_close(loss(z, src, pos, neg, log_q), every)


@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("corrected", [True, False])
def test_bilateral_softmax(z, log_q, kind, corrected):
    q = log_q if corrected else None
    of_user = {}
    for user, pos, neg in pairs(z, kind, True, 0.5, q):
        of_user.setdefault(user, []).append((pos * 0.5, neg))
    terms = []
    for drawn in of_user.values():
        one = torch.stack([pos / 0.8 for pos, _ in drawn]).exp().mean().log()
        rest = torch.cat([neg for _, neg in drawn]).exp().mean().log()
        terms.append(-0.8 * one + 0.5 * rest)
    loss = BilateralSoftmaxLoss(0.5, pos_temperature=0.8)
    check(loss, z, kind, torch.stack(terms).mean(), q)


def test_bilateral_softmax_without_negatives():
    z = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    src, pos = torch.tensor([0, 1]), torch.tensor([2, 2])  # All the same item.
    BilateralSoftmaxLoss()(z, src, pos).backward()
    assert z.grad.isfinite().all()


def test_direct_au(z):
    rep = z / z.norm(dim=1, keepdim=True)
    src, pos = rep[SRC], rep[POS]
    align = torch.stack([(src[b] - pos[b]).square().sum() for b in range(4)]).mean()
    uniform = [
        torch.stack(
            [
                torch.exp(-2 * (x[b] - x[c]).square().sum())
                for b in range(4)
                for c in range(b)
            ]
        )
        .mean()
        .log()
        for x in (src, pos)
    ]
    check(DirectAULoss(0.7), z, "batch", align + 0.7 * sum(uniform) / 2)


@pytest.mark.parametrize(
    "loss",
    [
        BPRLoss(),
        BPRLoss(hardness=2.0),
        SoftmaxLoss(),
        BilateralSoftmaxLoss(),
        DirectAULoss(),
        HardNegatives(BCELoss(), 3),
    ],
)
def test_single_pair(loss):
    z = torch.randn(2, 3, requires_grad=True)
    value = loss(z, torch.tensor([0]), torch.tensor([1]))
    value.backward()
    assert math.isfinite(value.detach()) and z.grad.isfinite().all()


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
    loss = HardNegatives(BPRLoss(cosine), 2)
    assert loss.cosine == cosine and loss.temperature == 1.0
    check(loss, z, kind, torch.stack(terms).mean())
    loss.num_hard = 0  # All of them.
    expected = BPRLoss(cosine)(z, SRC, POS, NEGATIVES[kind])
    torch.testing.assert_close(loss(z, SRC, POS, NEGATIVES[kind]), expected)


def test_bad_arguments():
    with pytest.raises(ValueError, match="positive 'temperature'"):
        SoftmaxLoss(0.0)
    with pytest.raises(ValueError, match="positive 'pos_temperature'"):
        BilateralSoftmaxLoss(pos_temperature=0.0)
    with pytest.raises(ValueError, match="'num_hard'"):
        HardNegatives(BPRLoss(), -1)
    for hardness in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="'hardness'"):
            BPRLoss(hardness=hardness)


def test_softmax_under_autocast(z):
    z = z.detach().float().requires_grad_()
    expected = SoftmaxLoss()(z, SRC, POS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = SoftmaxLoss()(z, SRC, POS)
    loss.backward()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("cosine", [True, False])
def test_softmax_with_a_teacher(z, log_q, cosine):
    teacher = torch.randn(7, 5, dtype=torch.double)
    both = zip(
        pairs(z, "batch", cosine, 0.5, log_q),
        pairs(teacher, "batch", cosine, 0.5, log_q),
        strict=True,
    )
    terms = []
    for b, ((_, pos, neg), (_, teacher_pos, teacher_neg)) in enumerate(both):
        shift = log_q[POS[b]]
        score = torch.cat([pos.view(1) - shift, neg])
        target = torch.cat([teacher_pos.view(1) - shift, teacher_neg]).softmax(0)
        target = 0.7 * target + 0.3 * torch.eye(len(target), dtype=z.dtype)[0]
        terms.append(-(target * score.log_softmax(0)).sum())
    loss = SoftmaxLoss(0.5, cosine, log_q=True, teacher_weight=0.7)

    def forward(z):
        return loss(z, SRC, POS, None, log_q, teacher)

    torch.testing.assert_close(forward(z), torch.stack(terms).mean())
    assert gradcheck(forward, z)


def test_a_teacher_of_the_same_rows_asks_for_nothing(z):
    loss = SoftmaxLoss(teacher_weight=1.0)
    loss(z, SRC, POS, teacher=z.detach()).backward()
    torch.testing.assert_close(z.grad, torch.zeros_like(z))


def test_softmax_needs_the_teacher_it_weighs(z):
    loss = SoftmaxLoss(teacher_weight=0.5)
    with pytest.raises(ValueError, match="a teacher's rows"):
        loss(z, SRC, POS)
    with pytest.raises(ValueError, match="the batch's items as negatives"):
        loss(z, SRC, POS, NEGATIVES["one"], teacher=z.detach())
    with pytest.raises(ValueError, match="teacher_weight"):
        SoftmaxLoss(teacher_weight=1.5)
    with pytest.raises(ValueError, match="without a teacher"):
        HardNegatives(loss, 1)
