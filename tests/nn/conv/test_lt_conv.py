import copy
import pickle
import sys
import warnings
from contextlib import nullcontext

import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric import EdgeIndex
from torch_geometric.nn import APPNP, LGConv
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor

from ltgnn_pyg.graph import normalized_adj, propagate
from ltgnn_pyg.nn.conv import LTConv, lt_conv
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
    if form == "coo":
        return adj_t, None
    return (adj_t.to_sparse_csr() if form == "csr" else adj_t.to_sparse_csc()), None


FORMS = ["edge_index", "EdgeIndex", "csr", "coo", "csc"]
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
    torch.testing.assert_close(conv(x, adj, weight), expected, atol=1e-6, rtol=1e-6)
    x = x.requires_grad_()
    out = conv(x, adj, weight)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)
    ref = APPNP(K=3, alpha=0.3, **kwargs)(
        x,
        edge_index,
        None if not weighted else directed_weight(adj, weight, edge_index, form),
    )
    g = torch.randn_like(out)
    (actual,), (wanted,) = (torch.autograd.grad(o, x, g) for o in (out, ref))
    torch.testing.assert_close(actual, wanted, atol=1e-6, rtol=1e-6)


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


FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def run(conv, x, adj, weight, autocast):
    """The result and the gradient."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
        out = conv(x, adj, weight)
    g = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return out.detach(), *torch.autograd.grad(out, x, g)


@pytest.mark.parametrize("form", [*FORMS, SPARSE])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("weight_dtype", [None, *FLOATS])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_promotes_types_as_appnp(form, dtype, weight_dtype, normalize, autocast):
    """All forms, those in which APPNP raises too: a matrix follows the features."""
    edge_index, weight = directed()
    weight = None if weight_dtype is None else weight.to(weight_dtype)
    x = torch.randn(9, 4).to(dtype)
    kwargs = {"normalize": normalize, "add_self_loops": False}
    with torch.no_grad():  # The message passing of PyG promotes.
        expected = APPNP(K=2, alpha=0.3, **kwargs)(x, edge_index, weight).dtype
    if form not in ("edge_index", "EdgeIndex"):
        expected = dtype
    full = weight if weight is None else weight.double()
    exact = run(APPNP(K=2, alpha=0.3, **kwargs), x.double(), edge_index, full, False)
    adj, weight = adjacency(form, edge_index, weight, 9)
    conv = LTConv(0.3, 2, **kwargs)
    found = run(conv, x, adj, weight, autocast)
    assert found[0].dtype == expected and found[1].dtype == dtype
    with torch.no_grad():
        torch.testing.assert_close(conv(x, adj, weight), found[0])
    narrow = weight_dtype is not None and weight_dtype.itemsize == 2
    tol = 0.1 if dtype.itemsize == 2 or narrow else 1e-5
    for a, b in zip(found, exact, strict=True):
        torch.testing.assert_close(a.double(), b, atol=tol, rtol=tol)


@pytest.mark.parametrize("form", [*FORMS, SPARSE])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_graph_without_edges(form, dtype, normalize):
    edge_index = torch.empty(2, 0, dtype=torch.long)
    adj, _ = adjacency(form, edge_index, None, 9)
    x = torch.randn(9, 4).to(dtype)
    for conv, scale in (
        (LTConv(0.3, 1, normalize=normalize), 0.3),
        (LTConv(0.3, 2, add_self_loops=True), 1.0),
    ):
        found = run(conv, x, adj, None, False)
        torch.testing.assert_close(found[0], scale * x, rtol=0.02, atol=0.02)
        g = torch.linspace(-1, 1, x.numel(), dtype=dtype).view_as(x)
        torch.testing.assert_close(found[1], scale * g, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("form", ["EdgeIndex", "csr", "coo", "csc", SPARSE])
def test_training_takes_the_one_product(form, monkeypatch):
    edge_index, weight = directed()
    adj, weight = adjacency(form, edge_index, weight, 9)
    calls = []
    exact = sys.modules["ltgnn_pyg.graph.polynomial"]
    for module in (lt_conv, exact):
        monkeypatch.setattr(
            module, "propagate", lambda *args: calls.append(1) or propagate(*args)
        )
    for kwargs in ({}, {"add_self_loops": True}, {"normalize": False}):
        conv = LTConv(0.3, 2, **kwargs)
        monkeypatch.setattr(conv, "message", None)  # The unfused path would call it.
        conv(torch.randn(9, 4, requires_grad=True), adj, weight).sum().backward()
    assert len(calls) == 12  # Forward and backward.


@pytest.mark.parametrize("sparse_size", [(None, None), (6, 6), (9, 9)])
@pytest.mark.parametrize("undirected", [False, True])
def test_edge_index_knows_less_than_the_features(sparse_size, undirected):
    """The last nodes have no edge, and the EdgeIndex need not know of them."""
    edge_index, _ = directed(6, 20)
    if undirected:
        edge_index = torch.cat([edge_index, edge_index.flip(0)], 1).unique(dim=1)
    edge_index = edge_index.contiguous()
    index, _ = EdgeIndex(
        edge_index, sparse_size=sparse_size, is_undirected=undirected
    ).sort_by("col")
    x = torch.randn(9, 4)
    for kwargs in ({}, {"add_self_loops": True}, {"normalize": False}):
        expected = run(LTConv(0.3, 2, **kwargs), x, edge_index, None, False)
        found = run(LTConv(0.3, 2, **kwargs), x, index, None, False)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            LTConv(0.3, **kwargs)(x[:3], index)


@pytest.mark.parametrize("form", ["edge_index", "EdgeIndex", "csr", SPARSE])
def test_weights_get_a_gradient(form):
    edge_index, weight = directed()
    weight = weight.requires_grad_()
    x = torch.randn(9, 4)
    for kwargs in ({}, {"normalize": False}):
        grads = []
        for cls, kind in ((APPNP, "edge_index"), (LTConv, form)):
            adj, w = adjacency(kind, edge_index, weight, 9)
            conv = cls(alpha=0.3, K=2, **{"add_self_loops": False, **kwargs})
            out = conv(x, adj, w)
            g = torch.linspace(-1, 1, out.numel()).view_as(out)
            grads.append(torch.autograd.grad(out, weight, g)[0])
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("aggr", ["mean", "max"])
@pytest.mark.parametrize("form", [*FORMS, SPARSE])
def test_other_aggregations(form, aggr):
    edge_index, weight = directed()
    x = torch.randn(9, 4)
    adj, w = adjacency(form, edge_index, weight, 9)
    expected = LTConv(0.3, aggr=aggr)(x, edge_index, weight)
    torch.testing.assert_close(LTConv(0.3, aggr=aggr)(x, adj, w), expected)


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


def test_alpha_zero_is_lgconv(graph):
    x = torch.randn(graph.num_nodes, 4)
    expected = LGConv()(x, graph.edge_index)
    torch.testing.assert_close(LTConv(alpha=0.0)(x, graph.edge_index), expected)


def test_cached_normalises_once(graph):
    conv = LTConv(0.3, cached=True)
    x = torch.randn(graph.num_nodes, 4)
    first = conv(x, graph.edge_index)
    other = graph.edge_index[:, :4]
    assert torch.equal(conv(x, other), first)
    conv.reset_parameters()
    assert not torch.equal(conv(x, other), first)


@pytest.mark.parametrize("form", [*FORMS, SPARSE])
def test_copies_with_a_cache(form):
    edge_index, weight = directed()
    adj, weight = adjacency(form, edge_index, weight, 9)
    conv, x = LTConv(0.3, 2, cached=True), torch.randn(9, 4)
    expected = conv(x, adj, weight)
    for other in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(other(x, adj, weight), expected)


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


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match="Expected 'alpha' in"):
        LTConv(alpha)
    with pytest.raises(ValueError, match="Expected 'K'"):
        LTConv(0.5, 0)


def test_an_operator_is_taken_as_it_is(graph):
    """Normalised or not; the layer does not normalise it again."""
    x = torch.randn(graph.num_nodes, 4)
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    expected = LTConv(0.3, 2)(x, graph.edge_index)
    torch.testing.assert_close(LTConv(0.3, 2)(x, adj_t), expected)
    half = adj_t.with_value(adj_t.value / 2)
    z = x
    for _ in range(2):
        z = 0.7 * half.to_dense() @ z + 0.3 * x
    for kwargs in ({}, {"normalize": False}):
        torch.testing.assert_close(LTConv(0.3, 2, **kwargs)(x, half), z)


def test_no_warning_on_import():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LTConv(0.5)
