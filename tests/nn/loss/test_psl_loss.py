import math

import pytest
import torch
from torch.autograd import gradcheck

from ltgnn_pyg.nn.loss import (
    HardNegatives,
    PSLLoss,
    SoftmaxLoss,
    atan_surrogate,
    relu_surrogate,
    tanh_surrogate,
)
from ltgnn_pyg.nn.loss.ranking_loss import cross_entropy
from tests.nn.loss.batches import (
    NEGATIVES,
    OF_ITEM,
    OF_USER,
    POS,
    WORLD,
    WORLD_PAIRS,
    dense_in_batch_softmax,
    make_batch,
    pairs,
)

SURROGATES = {
    tanh_surrogate: lambda d: torch.tanh(d) + 1,
    atan_surrogate: lambda d: torch.clamp(torch.atan(d) + 1, min=0.0),
    relu_surrogate: lambda d: torch.clamp(d + 1, min=0.0),
}
surrogates = pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda f: f.__name__)


def exponential(d):
    return d, torch.ones_like(d)


@surrogates
@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("corrected", [True, False])
def test_from_its_equation(z, log_q, surrogate, kind, cosine, corrected):
    corrected = corrected and kind != "batch"
    if not cosine:
        z = (0.3 * z.detach()).requires_grad_()  # Within reach of the surrogate.
    terms, sigma = [], SURROGATES[surrogate]
    negatives = NEGATIVES[kind]
    for b, (_, pos, neg) in enumerate(pairs(z, kind, cosine)):
        weight = torch.ones_like(neg)
        if corrected:
            rows = negatives[0] if kind == "shared" else negatives[b].view(-1)
            weight = (log_q[POS[b]] - log_q[rows]).exp()
        each = weight * sigma((neg - pos) / 2) ** (1 / 0.3)
        terms.append(torch.log(1 + each.sum()))
    loss = PSLLoss(surrogate, 0.3, cosine, in_batch=kind == "batch")
    batch = make_batch(neg=negatives, log_q=log_q if corrected else None)
    torch.testing.assert_close(loss(z, batch), torch.stack(terms).mean())
    assert gradcheck(lambda z: loss(z, batch), z)


@pytest.mark.parametrize("kind", NEGATIVES)
@pytest.mark.parametrize("corrected", [True, False])
def test_with_the_exponential_it_is_softmax(z, log_q, kind, corrected):
    in_batch = kind == "batch"
    batch = make_batch(neg=NEGATIVES[kind], log_q=log_q if corrected else None)
    psl = PSLLoss(exponential, 0.1, in_batch=in_batch)
    losses = [psl(z, batch), SoftmaxLoss(0.2, in_batch=in_batch)(z, batch)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in losses))
    degree = torch.tensor([3.0, 1.0, 4.0])
    both = SoftmaxLoss(0.2), PSLLoss(exponential, 0.1)
    torch.testing.assert_close(*(loss.item_bias(degree) for loss in both))


@surrogates
@pytest.mark.parametrize("temperature", [0.1, 0.01])  # The latter needs a maximum.
def test_in_chunks(surrogate, temperature):
    z = torch.randn(50, 4, dtype=torch.double, requires_grad=True)
    src, pos = torch.randint(0, 25, (2500,)), torch.randint(25, 50, (2500,))
    unit = z / z.norm(dim=1, keepdim=True)
    score = dense_in_batch_softmax(unit, src, pos, 1.0)
    absent = score == float("-inf")
    d = (score - score.diagonal().unsqueeze(1)).masked_fill(absent, 0.0) / 2
    log = SURROGATES[surrogate](d).log() / temperature
    expected = log.masked_fill(absent, float("-inf")).logsumexp(1).mean()
    loss = PSLLoss(surrogate, temperature)(z, make_batch(src, pos, num_seeds=50))
    torch.testing.assert_close(loss, expected)
    grads = (torch.autograd.grad(value, z)[0] for value in (loss, expected))
    torch.testing.assert_close(*grads)


@surrogates
def test_surrogates_are_the_exponential_at_zero(surrogate):
    assert surrogate(torch.zeros(())) == (0.0, 1.0)
    d = torch.linspace(-3.0, 3.0, 50, requires_grad=True)
    log, slope = surrogate(d)
    torch.testing.assert_close(log.exp(), SURROGATES[surrogate](d))
    (expected,) = torch.autograd.grad(log.sum(), d)
    torch.testing.assert_close(slope, expected)
    assert (log <= d + 1e-6).all() and (slope >= 0).all()  # Milder.


def test_a_surrogate_that_reaches_zero_has_a_gradient():
    """Inner products beyond the reach of relu: weight 0, and no NaN."""
    z = torch.tensor([[10.0], [1.0], [-1.0]], requires_grad=True)
    batch = make_batch(torch.tensor([0]), torch.tensor([1]), torch.tensor([2]), None)
    loss = PSLLoss(cosine=False, in_batch=False)(z, batch)
    loss.backward()
    assert loss == 0.0 and torch.equal(z.grad, torch.zeros_like(z))
    batch = make_batch(torch.tensor([0, 0]), torch.tensor([1, 2]), num_seeds=3)
    loss = PSLLoss(cosine=False)(z, batch)
    loss.backward()
    assert loss.isfinite() and z.grad.isfinite().all()


@surrogates
@pytest.mark.parametrize("corrected", [True, False])
def test_what_it_learns_grows_with_the_density_ratio(surrogate, corrected):
    """The optimum orders items as p(i | u) / q(i), or p(i | u) if corrected."""
    loss, q = PSLLoss(surrogate, 0.2, False, False), torch.tensor([4, 3, 1, 2]) / 10
    triples = [(u, i, j) for u, i in WORLD_PAIRS for j in range(4)]
    user, item, neg = torch.tensor(triples).t()
    weight = WORLD[user, item] * q[neg]
    score = torch.zeros(2, 4, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([score], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        pos, other = score[user, item] / 0.2, score[user, neg] / 0.2
        pos, other = loss.logits(pos, other.unsqueeze(1))
        if corrected:
            pos, other = pos - q[item].log(), other - q[neg].log().unsqueeze(1)
        value = weight @ cross_entropy(pos, other)
        value.backward()
        return value

    optimizer.step(closure)
    assert score.grad.abs().max() < 1e-5
    ratio = OF_USER if corrected else OF_USER / q
    for found, wanted in zip(score.detach(), ratio, strict=True):
        apart = wanted.unsqueeze(0) > wanted.unsqueeze(1) + 1e-9
        assert (found.unsqueeze(0) > found.unsqueeze(1))[apart].all()


def test_item_bias():
    loss = PSLLoss(temperature=0.3)
    torch.testing.assert_close(loss.item_bias(OF_ITEM), 0.6 * OF_ITEM.log())
    assert PSLLoss(in_batch=False).item_bias(OF_ITEM) is None


@pytest.mark.parametrize("kind", ["many", "batch"])
def test_of_hard_negatives(z, kind):
    loss = PSLLoss(in_batch=kind == "batch")
    batch = make_batch(neg=NEGATIVES[kind])
    hard = HardNegatives(loss, 1)(z, batch)
    terms = [
        torch.log(1 + (1 + (neg.max() - pos) / 2) ** (1 / 0.06))
        for _, pos, neg in pairs(z, kind, True)
    ]
    torch.testing.assert_close(hard, torch.stack(terms).mean())


def test_repr_and_arguments():
    assert "surrogate=relu_surrogate" in repr(PSLLoss())
    with pytest.raises(ValueError, match="positive 'temperature'"):
        PSLLoss(temperature=math.nan)
