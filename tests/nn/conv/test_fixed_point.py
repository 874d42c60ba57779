import math

import pytest
import torch
from torch.autograd import gradcheck

from ltgnn_pyg.graph import CSROperator, normalized_adj
from ltgnn_pyg.nn.conv import LTConv, solve
from tests.dense import dense_adj, fixed_point


@pytest.fixture
def adj_t(graph):
    return normalized_adj(graph.edge_index, None, graph.num_nodes)


def directed():
    """A matrix that is not symmetric, so that transposing by mistake shows."""
    adj = torch.rand(9, 9, dtype=torch.double) / 5
    return adj * (torch.rand(9, 9) < 0.4)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0])
def test_equals_closed_form(graph, alpha):
    weight = torch.rand(graph.num_edges // 2, dtype=torch.double).repeat(2)
    adj_t = normalized_adj(graph.edge_index, weight, graph.num_nodes)
    x = torch.randn(graph.num_nodes, 3, dtype=torch.double, requires_grad=True)
    z, report = solve(x, adj_t, alpha, tol=1e-14)
    adj = dense_adj(graph.edge_index, graph.num_nodes, weight)
    expected = fixed_point(adj, x, alpha)
    torch.testing.assert_close(z, expected, atol=1e-10, rtol=0)
    assert report.converged and report.residual <= 1e-14
    assert report.iterations <= report.bound
    g = torch.randn_like(z)
    (actual,), (wanted,) = (torch.autograd.grad(o, x, g) for o in (z, expected))
    torch.testing.assert_close(actual, wanted, atol=1e-10, rtol=0)


def test_gradient_uses_the_transpose():
    adj = directed()
    adj_t = CSROperator.from_tensor(adj.to_sparse_csr())
    x = torch.randn(9, 3, dtype=torch.double, requires_grad=True)
    z, _ = solve(x, adj_t, 0.4, tol=1e-14)
    expected = fixed_point(adj, x, 0.4)
    torch.testing.assert_close(z, expected, atol=1e-10, rtol=0)
    g = torch.randn_like(z)
    (actual,), (wanted,) = (torch.autograd.grad(o, x, g) for o in (z, expected))
    torch.testing.assert_close(actual, wanted, atol=1e-10, rtol=0)
    assert gradcheck(lambda x: solve(x, adj_t, 0.4, tol=1e-14)[0], x)


def test_is_where_the_layer_stays(graph, adj_t):
    x = torch.randn(graph.num_nodes, 3)
    z, _ = solve(x, adj_t, 0.2, tol=1e-7)
    again = LTConv(0.2, normalize=False)(x, adj_t, z=z)
    torch.testing.assert_close(again, z, atol=1e-6, rtol=0)


def test_memory_does_not_depend_on_iterations(graph, adj_t):
    """What autograd keeps is the same after 10 and after 1,000 steps."""
    x = torch.randn(graph.num_nodes, 4, requires_grad=True)
    kept = {}
    for alpha in (0.5, 0.01):
        rows = []
        hooks = torch.autograd.graph.saved_tensors_hooks(rows.append, lambda t: t)
        with hooks:
            z, report = solve(x, adj_t, alpha, tol=1e-5)
        node = z.grad_fn
        held = [v for v in vars(node).values() if isinstance(v, torch.Tensor)]
        assert not held and node.operator is adj_t
        kept[report.iterations] = len(rows), node.operator.value.numel()
    (few, many) = kept
    assert many > 30 * few and kept[few] == kept[many] == (0, graph.num_edges)


def test_bound_and_warm_start(graph, adj_t):
    x = torch.randn(graph.num_nodes, 4, dtype=torch.double)
    z, cold = solve(x, adj_t, 0.1, tol=1e-8)
    assert cold.bound == math.ceil(math.log(1e-8) / math.log(0.9))
    again, warm = solve(x, adj_t, 0.1, tol=1e-8, z=z)
    assert warm.iterations == 0 and warm.bound == 0 and warm.converged
    torch.testing.assert_close(again, z, atol=1e-8, rtol=0)
    start = z + 1e-3 * torch.randn_like(z)
    before = start.clone()
    _, near = solve(x, adj_t, 0.1, tol=1e-8, z=start)
    assert near.iterations <= near.bound < cold.bound
    assert torch.equal(start, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_types_and_scales(graph, adj_t, dtype, scale):
    """Iterated in 32 bits at least, whatever the size of the numbers."""
    x = (scale * torch.randn(graph.num_nodes, 4)).to(dtype).requires_grad_()
    z, report = solve(x, adj_t, 0.1)
    assert z.dtype == dtype and report.converged
    adj = dense_adj(graph.edge_index, graph.num_nodes)
    expected = fixed_point(adj, x.detach().double(), 0.1)
    error = (z.detach().double() - expected).norm() / expected.norm()
    assert error < (1e-5 if dtype == torch.float32 else 0.01)
    z.sum().backward()
    assert x.grad.dtype == dtype and x.grad.isfinite().all()


def test_numbers_whose_squares_overflow(graph, adj_t):
    x = torch.randn(graph.num_nodes, 4)
    z, _ = solve(x, adj_t, 0.1)
    large, report = solve(1e30 * x, adj_t, 0.1)
    assert report.converged
    torch.testing.assert_close(large / 1e30, z, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_a_graph_without_edges(alpha):
    adj_t = normalized_adj(torch.empty(2, 0, dtype=torch.long), None, 5)
    x = torch.randn(5, 3, requires_grad=True)
    z, report = solve(x, adj_t, alpha)
    assert report.converged
    torch.testing.assert_close(z, alpha * x)
    z.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, alpha))


def test_zeros(graph, adj_t):
    z, report = solve(torch.zeros(graph.num_nodes, 3), adj_t, 0.1)
    assert report.converged and not z.any()


def test_says_when_it_fails(graph, adj_t):
    x = torch.randn(graph.num_nodes, 4)
    ones = adj_t.to_dense().gt(0).float()
    with pytest.raises(RuntimeError, match="spectral radius"):
        solve(x, CSROperator.from_tensor(ones.to_sparse_csr()), 0.1)
    radius = torch.linalg.eigvalsh(ones.double()).max().float()
    beyond = ones * 1.02 / 0.9 / radius  # It just exceeds 1 / 0.9.
    with pytest.raises(RuntimeError, match="spectral radius"):
        solve(x, CSROperator.from_tensor(beyond.to_sparse_csr()), 0.1)
    with pytest.warns(UserWarning, match="No convergence to tol=1e-06 within") as seen:
        _, report = solve(x, adj_t, 0.1, max_iter=3)
    assert not report.converged and report.iterations == 3
    assert seen[0].filename == __file__


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_says_what_is_not_finite(graph, adj_t, bad):
    x = torch.randn(graph.num_nodes, 4)
    broken = x.clone()
    broken[2, 1] = bad
    with pytest.raises(ValueError, match="a finite 'x'"):
        solve(broken, adj_t, 0.1)
    with pytest.raises(ValueError, match="a finite 'z'"):
        solve(x, adj_t, 0.1, z=broken)
    with pytest.raises(ValueError, match="a finite 'operator'"):
        solve(x, adj_t.with_value(adj_t.value * bad), 0.1)


def test_a_gradient_that_overflowed_is_passed_on(graph, adj_t):
    """Which a scaler sees and skips; an error would end the training."""
    x = torch.randn(graph.num_nodes, 4, requires_grad=True)
    z, _ = solve(x, adj_t, 0.1)
    (grad,) = torch.autograd.grad(z, x, torch.full_like(z, math.inf))
    assert not grad.isfinite().any()


def test_bad_arguments(graph, adj_t):
    x = torch.randn(graph.num_nodes, 4)
    for alpha in (0.0, 1.1, math.nan):
        with pytest.raises(ValueError, match="'alpha' in \\(0, 1\\]"):
            solve(x, adj_t, alpha)
    for tol in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="positive 'tol'"):
            solve(x, adj_t, 0.1, tol=tol)
    with pytest.raises(ValueError, match="positive 'max_iter'"):
        solve(x, adj_t, 0.1, max_iter=0)
    for other in (torch.eye(3), torch.ones(graph.num_nodes, 3)):
        other = CSROperator.from_tensor(other.to_sparse_csr())
        with pytest.raises(ValueError, match="'operator' of size"):
            solve(x, other, 0.1)
    with pytest.raises(ValueError, match="sparse CSR matrix"):
        CSROperator.from_tensor(adj_t.to_dense())
    with pytest.raises(ValueError, match="'z' of size"):
        solve(x, adj_t, 0.1, z=x[:3])
