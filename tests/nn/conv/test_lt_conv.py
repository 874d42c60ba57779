import math
import warnings

import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric import EdgeIndex
from torch_geometric.nn import APPNP, LGConv
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor

from ltgnn_pyg import LTConv, normalized_adj
from tests.dense import dense_adj, fixed_point


def directed(num_nodes=9, num_edges=30):
    """A graph that is not symmetric, so that transposing by mistake shows."""
    key = torch.randperm(num_nodes * num_nodes)[:num_edges]
    edge_index = torch.stack([key // num_nodes, key % num_nodes])
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    return edge_index, torch.rand(edge_index.size(1)) + 0.1


def adjacency(form, edge_index, weight, num_nodes):
    size = (num_nodes, num_nodes)
    if form == "edge_index":
        return edge_index, weight
    if form == "EdgeIndex":
        index, perm = EdgeIndex(edge_index, sparse_size=size).sort_by("col")
        return index, None if weight is None else weight[perm]
    value = torch.ones(edge_index.size(1)) if weight is None else weight
    if form == "SparseTensor":
        row, col = edge_index
        adj_t = SparseTensor(row=col, col=row, value=value, sparse_sizes=size)
        return adj_t, None
    adj_t = torch.sparse_coo_tensor(edge_index.flip(0), value, size).coalesce()
    return (adj_t.to_sparse_csr() if form == "csr" else adj_t), None


FORMS = ["edge_index", "EdgeIndex", "csr"]
SPARSE = pytest.param(
    "SparseTensor",
    marks=pytest.mark.skipif(not WITH_TORCH_SPARSE, reason="torch-sparse missing"),
)


@pytest.mark.parametrize("form", [*FORMS, SPARSE])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("add_self_loops", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_equals_appnp(form, weighted, add_self_loops, normalize):
    edge_index, weight = directed()
    weight = weight if weighted else None
    x = torch.randn(9, 4)
    kwargs = {"add_self_loops": add_self_loops, "normalize": normalize}
    expected = APPNP(K=3, alpha=0.3, **kwargs)(x, edge_index, weight)
    conv = LTConv(alpha=0.3, K=3, **kwargs)
    adj, weight = adjacency(form, edge_index, weight, 9)
    torch.testing.assert_close(conv(x, adj, weight), expected, atol=1e-6, rtol=0)
    x = x.requires_grad_()
    out = conv(x, adj, weight)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=0)
    ref = APPNP(K=3, alpha=0.3, **kwargs)(
        x,
        edge_index,
        None if not weighted else directed_weight(adj, weight, edge_index, form),
    )
    g = torch.randn_like(out)
    (actual,), (wanted,) = (torch.autograd.grad(o, x, g) for o in (out, ref))
    torch.testing.assert_close(actual, wanted, atol=1e-6, rtol=0)


def directed_weight(adj, weight, edge_index, form):
    """The weights again, in the order of edge_index."""
    if form == "edge_index":
        return weight
    if form == "EdgeIndex":
        dense = torch.zeros(9, 9)
        index = adj.as_tensor()
        dense[index[0], index[1]] = weight
        return dense[edge_index[0], edge_index[1]]
    return adj.to_dense()[edge_index[1], edge_index[0]]


@pytest.mark.parametrize("form", [*FORMS, SPARSE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cached", [False, True])
def test_types_and_caching(form, dtype, cached):
    edge_index, weight = directed()
    weight = weight.to(dtype)
    x = torch.randn(9, 4, dtype=dtype)
    expected = APPNP(K=2, alpha=0.3, add_self_loops=False)(x, edge_index, weight)
    adj, w = adjacency(form, edge_index, weight, 9)
    conv = LTConv(0.3, 2, cached=cached)
    for _ in range(2):
        out = conv(x, adj, w)
        assert out.dtype == dtype
        torch.testing.assert_close(out, expected, atol=1e-6, rtol=0)
    assert (conv._cache is not None) == cached


@pytest.mark.parametrize("form", ["edge_index", "EdgeIndex"])
@pytest.mark.parametrize("normalize", [False, True])
def test_flow_against_the_edges(form, normalize):
    edge_index, weight = directed()
    kwargs = {"normalize": normalize, "add_self_loops": False}
    kwargs["flow"] = "target_to_source"
    x = torch.randn(9, 4)
    expected = APPNP(K=2, alpha=0.3, **kwargs)(x, edge_index, weight)
    adj, w = adjacency(form, edge_index, weight, 9)
    torch.testing.assert_close(LTConv(0.3, 2, **kwargs)(x, adj, w), expected)
    z, _ = LTConv(0.6, **kwargs).solve(x, adj, w / 4, tol=1e-7)
    again = LTConv(0.6, **kwargs)(x, adj, w / 4, z=z)
    torch.testing.assert_close(again, z, atol=1e-6, rtol=0)


def test_alpha_zero_is_lgconv(graph):
    x = torch.randn(graph.num_nodes, 4)
    expected = LGConv()(x, graph.edge_index)
    torch.testing.assert_close(LTConv(alpha=0.0)(x, graph.edge_index), expected)


def test_fused_path_is_taken(monkeypatch):
    edge_index, weight = directed()
    adj, weight = adjacency("EdgeIndex", edge_index, weight, 9)
    for add_self_loops in (False, True):
        conv = LTConv(0.3, 2, add_self_loops=add_self_loops)
        monkeypatch.setattr(conv, "message", None)  # The unfused path would call it.
        conv(torch.randn(9, 4), adj, weight)


def test_cached_normalises_once(graph):
    conv = LTConv(0.3, cached=True)
    x = torch.randn(graph.num_nodes, 4)
    first = conv(x, graph.edge_index)
    other = graph.edge_index[:, :4]
    assert torch.equal(conv(x, other), first)
    conv.reset_parameters()
    assert not torch.equal(conv(x, other), first)


@pytest.mark.parametrize("num_dst", [3, 5])
def test_bipartite(num_dst):
    edge_index = torch.tensor([[0, 1, 2, 2, 4], [0, 0, 1, 0, 2]])
    weight = torch.rand(5, dtype=torch.double)
    src = torch.randn(5, 4, dtype=torch.double, requires_grad=True)
    dst = torch.randn(num_dst, 4, dtype=torch.double, requires_grad=True)
    dense = torch.zeros(num_dst, 5, dtype=torch.double)
    dense[edge_index[1], edge_index[0]] = weight
    inv = [dense.sum(d).clamp(min=1e-30).rsqrt() for d in (1, 0)]
    dense = inv[0][:, None] * dense * inv[1]
    expected = 0.7 * dense @ src + 0.3 * dst
    conv = LTConv(0.3)
    torch.testing.assert_close(conv((src, dst), edge_index, weight), expected)
    sorted_index, perm = EdgeIndex(edge_index, sparse_size=(5, num_dst)).sort_by("col")
    out = conv((src, dst), sorted_index, weight[perm])
    torch.testing.assert_close(out, expected)
    row, col = edge_index
    adj_t = torch.sparse_coo_tensor(edge_index.flip(0), weight, (num_dst, 5))
    torch.testing.assert_close(conv((src, dst), adj_t.coalesce()), expected)
    if WITH_TORCH_SPARSE:
        adj_t = SparseTensor(row=col, col=row, value=weight, sparse_sizes=(num_dst, 5))
        torch.testing.assert_close(conv((src, dst), adj_t), expected)
    with pytest.raises(ValueError, match="features of both sides"):
        conv((src, None), edge_index)
    out.sum().backward()
    torch.testing.assert_close(src.grad, 0.7 * dense.t() @ torch.ones_like(expected))
    with pytest.raises(ValueError, match="Expected 'K=1'"):
        LTConv(0.3, 2)((src, dst), edge_index)


@pytest.mark.parametrize("form", [*FORMS, SPARSE])
def test_bfloat16(graph, form):
    x = torch.randn(graph.num_nodes, 8)
    expected = LTConv(0.3, 2)(x, graph.edge_index)
    adj, _ = adjacency(form, graph.edge_index, None, graph.num_nodes)
    out = LTConv(0.3, 2)(x.bfloat16(), adj)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, atol=0.05, rtol=0.05)


def test_gradcheck_forward(graph):
    x = torch.randn(graph.num_nodes, 2, dtype=torch.double, requires_grad=True)
    weight = torch.rand(graph.num_edges, dtype=torch.double, requires_grad=True)
    conv = LTConv(0.3, 3)
    assert gradcheck(lambda x, w: conv(x, graph.edge_index, w), (x, weight))


def test_each_step_contracts(graph):
    alpha = 0.15
    x = torch.randn(graph.num_nodes, 4, dtype=torch.double)
    z = 10 * torch.randn_like(x)
    target = fixed_point(dense_adj(graph.edge_index, graph.num_nodes), x, alpha)
    conv = LTConv(alpha)
    for _ in range(20):
        new = conv(x, graph.edge_index, z=z)
        assert (new - target).norm() <= (1 - alpha) * (z - target).norm() + 1e-12
        z = new


@pytest.mark.parametrize("form", [*FORMS, SPARSE])
@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0])
def test_solve_equals_closed_form(form, alpha):
    edge_index, weight = directed()
    edge_index = (
        torch.cat([edge_index, edge_index.flip(0)], 1).unique(dim=1).contiguous()
    )
    weight = torch.rand(9, 9, dtype=torch.double)
    weight = (weight + weight.t())[edge_index[0], edge_index[1]]
    adj, w = adjacency(form, edge_index, weight, 9)
    x = torch.randn(9, 3, dtype=torch.double, requires_grad=True)
    z, report = LTConv(alpha).solve(x, adj, w, tol=1e-14)
    expected = fixed_point(dense_adj(edge_index, 9, weight), x, alpha)
    torch.testing.assert_close(z, expected, atol=1e-10, rtol=0)
    assert report.converged and report.residual <= 1e-14
    assert report.iterations <= report.bound
    g = torch.randn_like(z)
    (actual,), (wanted,) = (torch.autograd.grad(o, x, g) for o in (z, expected))
    torch.testing.assert_close(actual, wanted, atol=1e-10, rtol=0)


def test_solve_gradient_uses_the_transpose():
    edge_index, weight = directed()
    weight = weight.double() / 5
    adj = torch.zeros(9, 9, dtype=torch.double)
    adj[edge_index[1], edge_index[0]] = weight
    x = torch.randn(9, 3, dtype=torch.double, requires_grad=True)
    conv = LTConv(0.4, normalize=False)
    z, _ = conv.solve(x, edge_index, weight, tol=1e-14)
    expected = fixed_point(adj, x, 0.4)
    torch.testing.assert_close(z, expected, atol=1e-10, rtol=0)
    g = torch.randn_like(z)
    (actual,), (wanted,) = (torch.autograd.grad(o, x, g) for o in (z, expected))
    torch.testing.assert_close(actual, wanted, atol=1e-10, rtol=0)
    assert gradcheck(lambda x: conv.solve(x, edge_index, weight, tol=1e-14)[0], x)


def test_solve_memory_does_not_depend_on_iterations(graph):
    """What autograd keeps is the same after 10 and after 1,000 steps."""
    x = torch.randn(graph.num_nodes, 4, requires_grad=True)
    kept = {}
    for alpha in (0.5, 0.01):
        rows = []
        hooks = torch.autograd.graph.saved_tensors_hooks(rows.append, lambda t: t)
        with hooks:
            z, report = LTConv(alpha).solve(x, graph.edge_index, tol=1e-5)
        node = z.grad_fn
        held = [v for v in vars(node).values() if isinstance(v, torch.Tensor)]
        kept[report.iterations] = len(rows), sum(v.values().numel() for v in held)
    (few, many) = kept
    assert many > 30 * few and kept[few] == kept[many] == (0, graph.num_edges)


def test_solve_bound_and_warm_start(graph):
    x = torch.randn(graph.num_nodes, 4, dtype=torch.double)
    conv = LTConv(0.1)
    z, cold = conv.solve(x, graph.edge_index, tol=1e-8)
    assert cold.bound == math.ceil(math.log(1e-8) / math.log(0.9))
    again, warm = conv.solve(x, graph.edge_index, tol=1e-8, z=z)
    assert warm.iterations == 0 and warm.bound == 0 and warm.converged
    torch.testing.assert_close(again, z, atol=1e-8, rtol=0)
    start = z + 1e-3 * torch.randn_like(z)
    _, near = conv.solve(x, graph.edge_index, tol=1e-8, z=start)
    assert near.iterations <= near.bound < cold.bound


def test_solve_says_when_it_fails(graph):
    x = torch.randn(graph.num_nodes, 4)
    with pytest.raises(RuntimeError, match="spectral radius"):
        LTConv(0.1, normalize=False).solve(x, graph.edge_index)
    weight = torch.full((graph.num_edges,), 0.26)  # The radius just exceeds 1 / 0.9.
    radius = torch.linalg.eigvalsh(0.26 * (graph_dense(graph) > 0).double()).max()
    weight = weight * 1.02 / 0.9 / radius
    with pytest.raises(RuntimeError, match="spectral radius"):
        LTConv(0.1, normalize=False).solve(x, graph.edge_index, weight)
    with pytest.warns(UserWarning, match="No convergence to tol=1e-06 within"):
        _, report = LTConv(0.1).solve(x, graph.edge_index, max_iter=3)
    assert not report.converged and report.iterations == 3
    with pytest.raises(ValueError, match="'alpha' in \\(0, 1\\]"):
        LTConv(0.0).solve(x, graph.edge_index)
    with pytest.raises(RuntimeError, match="residual grew to nan"):
        LTConv(0.1).solve(x * float("nan"), graph.edge_index)


def graph_dense(graph):
    return dense_adj(graph.edge_index, graph.num_nodes)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match="Expected 'alpha' in"):
        LTConv(alpha)
    with pytest.raises(ValueError, match="Expected 'K'"):
        LTConv(0.5, 0)


def test_step_is_one_forward_step(graph):
    x = torch.randn(graph.num_nodes, 4, dtype=torch.double)
    z = torch.randn_like(x)
    conv = LTConv(0.3)
    adj = dense_adj(graph.edge_index, graph.num_nodes)
    expected = conv(x, graph.edge_index, z=z)
    torch.testing.assert_close(conv.step(x, adj @ z), expected)


def test_step_gradient():
    x = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    a, v, g = torch.randn(3, 5, 3, dtype=torch.double)
    conv = LTConv(0.3)
    assert gradcheck(lambda x: conv.step(x, a), x)
    (actual,) = torch.autograd.grad(conv.step(x, a, v), x, g)
    torch.testing.assert_close(actual, 0.3 * g + 0.7 * v)


def test_step_reaches_the_implicit_gradient(graph):
    """On all nodes, the gradient history converges to the solver's gradient."""
    x = torch.randn(graph.num_nodes, 4, dtype=torch.double, requires_grad=True)
    g = torch.randn_like(x)
    conv = LTConv(0.3)
    z, _ = conv.solve(x, graph.edge_index, tol=1e-14)
    (expected,) = torch.autograd.grad(z, x, g)
    adj, v = dense_adj(graph.edge_index, graph.num_nodes), torch.zeros_like(g)
    for _ in range(120):
        out = conv.step(x, adj @ z.detach(), adj @ v)
        (v,) = torch.autograd.grad(out, x, g)
    torch.testing.assert_close(v, expected, atol=1e-10, rtol=0)


def test_normalized_adj(graph):
    for loops in (False, True):
        adj = normalized_adj(graph.edge_index, None, graph.num_nodes, loops)
        expected = dense_adj(graph.edge_index, graph.num_nodes, None, loops).float()
        torch.testing.assert_close(adj.to_dense(), expected)
    edge_index, weight = directed()
    adj = normalized_adj(edge_index, weight, 9)
    sparse = torch.sparse_coo_tensor(edge_index.flip(0), weight, (9, 9)).coalesce()
    again = normalized_adj(sparse.to_sparse_csr())
    torch.testing.assert_close(adj.to_dense(), again.to_dense())
    with pytest.raises(ValueError, match="node indices in"):
        normalized_adj(graph.edge_index, None, 3)
    for bad in (-weight, weight * float("nan")):
        with pytest.raises(ValueError, match="non-negative"):
            normalized_adj(edge_index, bad, 9)
    with pytest.raises(ValueError, match="'edge_weight' of shape"):
        normalized_adj(edge_index, weight[1:], 9)
    with pytest.raises(ValueError, match="no 'edge_weight' beside"):
        normalized_adj(sparse, weight)
    with pytest.raises(ValueError, match="square"):
        normalized_adj(torch.zeros(2, 3).to_sparse_csr())


def test_no_warning_on_import():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LTConv(0.5)
