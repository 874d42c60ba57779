import copy
import math

import pytest
import torch
from torch.autograd import gradcheck

from ltgnn_pyg.nn.loss import DistillationLoss, SoftmaxAtKLoss, SoftmaxLoss
from ltgnn_pyg.nn.loss.in_batch_softmax import CHUNK
from tests.nn.loss.batches import POS, dense_in_batch_softmax, make_batch, pairs


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


def test_a_teacher_of_the_same_rows_asks_for_nothing(z):
    DistillationLoss(100, z, teacher_weight=1.0)(z, make_batch()).backward()
    torch.testing.assert_close(z.grad, torch.zeros_like(z))


def test_the_teacher_is_no_part_of_the_state():
    loss = DistillationLoss(100, torch.randn(7, 5))
    assert set(loss.state_dict()) == {"tau"} and not list(loss.parameters())
    assert loss.double().teacher.dtype == torch.double
    assert torch.equal(copy.deepcopy(loss).teacher, loss.teacher)
