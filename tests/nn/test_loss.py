import copy
import itertools
import math
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from ltgnn_pyg import Graph
from ltgnn_pyg.batch import MicroBatch
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
    Objective,
    PSLLoss,
    SoftmaxAtKLoss,
    SoftmaxLoss,
    UltraGCNLoss,
)
from ltgnn_pyg.nn.loss.in_batch_softmax import CHUNK

SRC = torch.tensor([0, 1, 0, 2])
POS = torch.tensor([3, 4, 5, 3])
NEGATIVES = {
    "one": torch.tensor([4, 5, 6, 6]),
    "many": torch.tensor([[4, 6], [5, 3], [6, 4], [6, 5]]),
    "shared": torch.tensor([[6, 4, 5]]),
    "batch": None,
}


def make_batch(src=SRC, pos=POS, neg=None, log_q=None, n_id=None, num_seeds=7):
    batch = MicroBatch(
        n_id=torch.arange(num_seeds) if n_id is None else n_id,
        num_seeds=num_seeds,
        src_index=src,
        dst_pos_index=pos,
    )
    if neg is not None:
        batch.dst_neg_index = neg
    if log_q is not None:
        batch.log_q = log_q
    return batch


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
    batch = make_batch(neg=NEGATIVES[kind], log_q=log_q)
    torch.testing.assert_close(loss(z, batch), expected)
    assert gradcheck(lambda z: loss(z, batch), z)


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


@pytest.mark.parametrize("kind", NEGATIVES)
def test_bce(z, kind):
    drawn = list(pairs(z, kind, False))
    one = torch.stack([-torch.log(torch.sigmoid(pos)) for _, pos, _ in drawn])
    zero = torch.cat([-torch.log(1 - torch.sigmoid(neg)) for _, _, neg in drawn])
    loss = BCELoss(2.0, in_batch=kind == "batch")
    check(loss, z, kind, one.mean() + 2 * zero.mean())


@pytest.mark.parametrize("kind", NEGATIVES)
def test_margin(z, log_q, kind):
    terms = [
        torch.clamp(s - pos + 0.3, min=0.0)
        for _, pos, neg in pairs(z, kind, True)
        for s in neg
    ]
    loss = MarginLoss(0.3, in_batch=kind == "batch")
    check(loss, z, kind, torch.stack(terms).mean(), log_q)  # Is no density ratio.


@pytest.mark.parametrize("kind", NEGATIVES)
def test_cosine_contrastive(z, log_q, kind):
    drawn = list(pairs(z, kind, True))
    one = torch.stack([1 - pos for _, pos, _ in drawn])
    rest = torch.cat([torch.clamp(neg - 0.1, min=0.0) for _, _, neg in drawn])
    loss = CosineContrastiveLoss(0.1, 5.0, in_batch=kind == "batch")
    check(loss, z, kind, one.mean() + 5 * rest.mean(), log_q)


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


def dense_in_batch_softmax(z, src, pos, temperature):
    score = z[src] @ z[pos].t() / temperature
    same = (pos.unsqueeze(1) == pos).fill_diagonal_(False)
    return score.masked_fill(same, float("-inf"))


def test_in_batch_softmax_in_chunks():
    z = torch.randn(50, 4, dtype=torch.double, requires_grad=True)
    src, pos = torch.randint(0, 25, (2500,)), torch.randint(25, 50, (2500,))
    score = dense_in_batch_softmax(z, src, pos, 0.5)
    expected = F.cross_entropy(score, torch.arange(2500))
    batch = make_batch(src, pos, num_seeds=50)
    loss = SoftmaxLoss(0.5, cosine=False)(z, batch)
    torch.testing.assert_close(loss, expected)
    grads = (torch.autograd.grad(value, z)[0] for value in (loss, expected))
    torch.testing.assert_close(*grads)


def test_in_batch_softmax_in_bfloat16(monkeypatch):
    """Large batches of float32, where it is faster: rounded, but for the own column."""
    module = sys.modules["ltgnn_pyg.nn.loss.in_batch_softmax"]
    z = torch.randn(300, 8, requires_grad=True)
    src, pos = torch.randint(0, 100, (1500,)), torch.randint(100, 300, (1500,))
    batch, found = make_batch(src, pos, num_seeds=300), []
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setitem(module._fastest, z.device, dtype)
        loss = SoftmaxLoss(0.12)(z, batch)
        found.append((loss.detach(), torch.autograd.grad(loss, z)[0]))
    (loss, grad), (rounded, other) = found
    assert not torch.equal(grad, other)
    torch.testing.assert_close(rounded, loss, atol=0.0, rtol=1e-3)
    assert (other - grad).norm() < 0.01 * grad.norm()
    full, rounded = [], []
    for dtype, out in ((torch.float32, full), (torch.bfloat16, rounded)):
        monkeypatch.setitem(module._fastest, z.device, dtype)
        for loss_fn in (SoftmaxLoss(0.12, cosine=False), SoftmaxLoss(0.01)):
            out.append(loss_fn(20 * z, batch).detach())
    assert torch.equal(torch.stack(full), torch.stack(rounded))  # Of unlike size.
    monkeypatch.delitem(module._fastest, z.device)
    assert module.score_dtype(z[:100]) == torch.float32  # Small ones stay as they are.
    assert not module._fastest
    assert module.score_dtype(z.repeat(2, 1)) in (torch.float32, torch.bfloat16)
    assert list(module._fastest) == [z.device]


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


@pytest.mark.parametrize("kind", NEGATIVES)
def test_direct_au(z, kind):
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
    check(DirectAULoss(0.7), z, kind, align + 0.7 * sum(uniform) / 2)


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


@pytest.mark.parametrize("loss", IN_BATCH, ids=repr)
def test_same_to_the_bit_again(loss):
    z = torch.randn(300, 8, requires_grad=True)
    if isinstance(loss, DistillationLoss):
        loss = DistillationLoss(100, torch.randn(300, 4))
    src, pos = torch.randint(0, 150, (2000,)), torch.randint(150, 300, (2000,))
    batch = make_batch(src, pos, num_seeds=300)
    grads = [torch.autograd.grad(loss(z, batch), z)[0] for _ in range(2)]
    assert torch.equal(*grads)


def test_softmax_compiles():
    z = torch.randn(7, 3, requires_grad=True)
    loss = SoftmaxLoss()

    def forward(z, src, pos):
        return loss(2 * z, make_batch(src, pos)) + z.square().sum()

    (expected,) = torch.autograd.grad(forward(z, SRC, POS), z)
    compiled = torch.compile(forward, backend="aot_eager")
    (actual,) = torch.autograd.grad(compiled(z, SRC, POS), z)
    torch.testing.assert_close(actual, expected)


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


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("weight_temperature", [0.3, math.inf])
def test_distillation(z, cosine, weight_temperature):
    args = {"temperature": 0.5, "weight_temperature": weight_temperature, "k": 40}
    args |= {"teacher_weight": 0.7, "cosine": cosine}
    num_nodes = 11
    teacher = torch.randn(num_nodes, 5, dtype=torch.double)
    n_id = torch.tensor([4, 10, 2, 7, 0, 5, 3, 9])  # The last is no seed.
    both = zip(
        pairs(z, "batch", cosine, 0.5),
        pairs(teacher[n_id], "batch", cosine, 0.5),
        strict=True,
    )
    loss, terms, weights = DistillationLoss(100, teacher, **args), [], []
    for (_, pos, neg), (_, teacher_pos, teacher_neg) in both:
        target = torch.cat([teacher_pos.view(1), teacher_neg]).softmax(0)
        target = 0.7 * target + 0.3 * torch.eye(len(target), dtype=z.dtype)[0]
        terms.append(-(target * torch.cat([pos.view(1), neg]).log_softmax(0)).sum())
        others = neg.detach().unsqueeze(0)
        weights.append(loss._weights(pos.detach().view(1), others, len(POS) - 1))
    batch = make_batch(n_id=n_id)
    expected = torch.stack(terms) @ torch.cat(weights) / len(terms)
    torch.testing.assert_close(loss(z, batch), expected)
    (grad,) = torch.autograd.grad(loss(z, batch), z)
    torch.testing.assert_close(grad, torch.autograd.grad(expected, z)[0])
    args["teacher_weight"] = 0.0
    alone = DistillationLoss(100, teacher, **args)
    del args["teacher_weight"]
    expected = SoftmaxAtKLoss(100, **args)(z, batch)
    torch.testing.assert_close(alone(z, batch), expected)
    if weight_temperature == math.inf:  # All weigh a half, whatever the rows.
        assert gradcheck(lambda z: loss(z, batch), z)
        expected = SoftmaxLoss(0.5, cosine)(z, batch)
        torch.testing.assert_close(2.0 * alone(z, batch), expected)


def test_distillation_in_chunks():
    z = torch.randn(50, 4, dtype=torch.double, requires_grad=True)
    teacher = torch.randn(50, 6, dtype=torch.double)
    src, pos = torch.randint(0, 25, (2500,)), torch.randint(25, 50, (2500,))
    chunk = torch.arange(2500) // CHUNK  # A teacher is asked about those alone.
    target = dense_in_batch_softmax(teacher, src, pos, 0.5)
    target = target.masked_fill(chunk[:, None] != chunk, float("-inf"))
    target = 0.6 * target.softmax(1)
    target += 0.4 * torch.eye(2500)
    score = dense_in_batch_softmax(z, src, pos, 0.5).log_softmax(1)
    expected = -(target * score.clamp(min=-1e30)).sum(1).mean()
    args = {"temperature": 0.5, "weight_temperature": math.inf, "cosine": False}
    loss = DistillationLoss(100, teacher, teacher_weight=0.6, **args)
    loss = 2.0 * loss(z, make_batch(src, pos, num_seeds=50))  # All weigh a half.
    torch.testing.assert_close(loss, expected)
    grads = (torch.autograd.grad(value, z)[0] for value in (loss, expected))
    torch.testing.assert_close(*grads)


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
    other.set_density(num, 40_000)
    torch.testing.assert_close(other.item_bias(degree), loss.item_bias(degree))
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
    for num, num_all, expected in ((12, 12, 0.79), (0, 10**6, 0.12)):
        loss = SoftmaxLoss()
        loss.set_density(num, num_all)
        assert loss.tau == expected


def test_a_teacher_of_the_same_rows_asks_for_nothing(z):
    DistillationLoss(100, z, teacher_weight=1.0)(z, make_batch()).backward()
    torch.testing.assert_close(z.grad, torch.zeros_like(z))


def test_the_teacher_is_no_part_of_the_state():
    loss = DistillationLoss(100, torch.randn(7, 5))
    assert set(loss.state_dict()) == {"tau"} and not list(loss.parameters())
    assert loss.double().teacher.dtype == torch.double
    assert torch.equal(copy.deepcopy(loss).teacher, loss.teacher)


# A world of two users and four items, and the chance of each pair.
WORLD = torch.tensor([[2, 10, 25, 3], [20, 5, 5, 30]]).double() / 100
OF_USER = WORLD / WORLD.sum(1, keepdim=True)  # p(i | u).
OF_ITEM = WORLD.sum(0)  # p(i).
WORLD_PAIRS = list(itertools.product(range(2), range(4)))


def table(score):
    """Embeddings whose inner products are any scores :obj:`[2, 4]`."""
    return torch.cat([torch.eye(2).double(), score.t()])


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
