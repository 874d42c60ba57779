import math

import pytest
import torch

from ltgnn_pyg import Graph, PairLoader
from ltgnn_pyg.nn import DirectAULoss, LightGODE, MatrixFactorization, SoftmaxLoss
from ltgnn_pyg.nn.models.light_gode import ode_coefficients
from tests.dense import dense_adj


def build(T, **kwargs):
    return LightGODE(7, 5, 4, T=T, init_std=1.0, **kwargs).double()


@pytest.mark.parametrize("T", [0.0, 0.8, 3.0])
def test_released_is_one_hop(graph, T):
    model = build(T)
    x = model.inputs.weight.detach()
    expected = (1 + T) * x + T * dense_adj(graph.edge_index, 12) @ x
    z = model.encode(Graph.from_data(graph))
    torch.testing.assert_close(z, expected, atol=1e-6, rtol=1e-6)
    vectors = model.scorer(Graph.from_data(graph)).vectors  # Scored as they are.
    assert torch.equal(torch.cat([vectors.user, vectors.item]), z)
    assert vectors.item_bias is None


@pytest.mark.parametrize("T", [0.0, 0.8, 3.0, 10.0])
def test_exact_solves_the_equation(graph, T):
    """By the exponential of one matrix more, [[A, I], [0, 0]], of Z' = A Z + X."""
    model = build(T, exact=True)
    a = dense_adj(graph.edge_index, 12)
    both = torch.zeros(24, 24, dtype=torch.double)
    both[:12, :12], both[:12, 12:] = a, torch.eye(12)
    flow = torch.linalg.matrix_exp(T * both)
    x = model.inputs.weight.detach()
    expected = (flow[:12, :12] + flow[:12, 12:]) @ x
    # The matrix is of float32.
    z, scale = model.encode(Graph.from_data(graph)), math.exp(T)
    torch.testing.assert_close(z, expected, atol=1e-5 * scale, rtol=1e-5)


@pytest.mark.parametrize("T", [0.0, 0.1, 1.0, 3.0, 10.0])
def test_the_series_is_cut_where_nothing_is_left(T):
    c = ode_coefficients(T)
    assert abs(sum(c) - (2 * math.exp(T) - 1)) < 1e-7 + 1e-15 * math.exp(T)
    for k, value in enumerate(c[:15]):
        expected = T**k / math.factorial(k) + T ** (k + 1) / math.factorial(k + 1)
        assert value == pytest.approx(expected)
    assert len(c) == 1 or sum(c[:-1]) < 2 * math.exp(T) - 1 - 1e-7


def test_trains_as_matrix_factorisation(graph):
    """On both kinds of batches, with the gradient of their rows alone."""
    model = build(3.0, weight_decay=0.1)
    loss_fn = DirectAULoss(gamma=0.5)
    other = MatrixFactorization(7, 5, 4, loss_fn=loss_fn, weight_decay=0.1).double()
    other.load_state_dict(model.state_dict())
    for inner_steps in (False, True):
        for batch in PairLoader(graph, batch_size=5, inner_steps=inner_steps):
            model.zero_grad()
            other.zero_grad()
            loss, expected = model.loss(batch), other.loss(batch)
            torch.testing.assert_close(loss, expected)
            loss.backward()
            expected.backward()
            grads = [m.inputs.weight.grad for m in (model, other)]
            assert all(grad.is_sparse for grad in grads)
            torch.testing.assert_close(*(grad.to_dense() for grad in grads))


def test_other_objectives(graph):
    model = build(3.0, loss_fn=SoftmaxLoss())
    assert model.scorer(Graph.from_data(graph)).vectors.item_bias is not None


def test_bad_arguments():
    for T in (-0.1, 11.0, math.nan):
        with pytest.raises(ValueError, match="'T'"):
            LightGODE(7, 5, T=T)
