import pytest
import torch

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.graph.adjacency import (
    BLOCK,
    KERNELS,
    adjoint,
    degree,
    degree_of,
    is_symmetric,
    kernel_for,
    propagate,
    reverse_entries,
    without,
)
from ltgnn_pyg.graph.kernels import kernels


def test_without(graph, pairs):
    weight = torch.rand(graph.num_edges)
    for edge_weight in (None, weight):
        adj_t = normalized_adj(graph.edge_index, edge_weight, graph.num_nodes)
        expected = adj_t.to_dense()
        out = pairs[:, [0, 3, 3, 7]]
        expected[out[0], out[1]] = expected[out[1], out[0]] = 0.0
        absent = torch.tensor([[0, 11], [1, 11]])  # No edges of the graph.
        assert torch.equal(
            without(adj_t, torch.cat([out, absent], 1)).to_dense(), expected
        )
        assert torch.equal(without(adj_t, out[:, :0]).to_dense(), adj_t.to_dense())
        twice = torch.cat([graph.edge_index] * 2, 1)
        adj_t = normalized_adj(twice, None, graph.num_nodes)
        again = without(adj_t, out).to_dense()
        assert torch.equal(again == 0, expected == 0)
        adj_t = normalized_adj(graph.edge_index, edge_weight, graph.num_nodes)
        everything = without(adj_t, pairs)
        assert everything.values().count_nonzero() == 0


def test_propagate_in_blocks():
    num_nodes, num_edges = 3000, 2 * BLOCK + 5
    edge_index = torch.randint(num_nodes - 100, (2, num_edges))  # Some have none.
    adj_t = normalized_adj(edge_index, None, num_nodes)
    x = torch.randn(num_nodes, 4)
    expected = torch.sparse.mm(adj_t, x)
    out = torch.full_like(x, torch.nan)
    torch.testing.assert_close(propagate(adj_t, x, out=out), expected)
    torch.testing.assert_close(out, expected)
    narrow = propagate(adj_t, x.bfloat16())
    torch.testing.assert_close(narrow, propagate(adj_t, x.bfloat16().float()))
    empty = normalized_adj(edge_index[:, :0], None, 5)
    assert propagate(empty, x[:5]).count_nonzero() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 7, 64])
def test_all_kernels_agree(dtype, dim):
    """Whichever a run is given, value and gradient are the same."""
    edge_index = torch.randint(500, (2, 5000))
    adj_t = normalized_adj(torch.cat([edge_index, edge_index.flip(0)], 1), None, 500)
    x = torch.randn(500, dim, dtype=dtype, requires_grad=True)
    expected = adj_t.to_dense().to(dtype) @ x.detach()
    what = f"product on cpu in {str(dtype).removeprefix('torch.')}"
    for name in KERNELS:
        with kernels.run({what: name}):
            out = propagate(adj_t, x)
            assert kernels.chosen() == {what: name}
        torch.testing.assert_close(out.detach(), expected)
        (grad,) = torch.autograd.grad(out, x, x.detach())
        torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_kernel_is_told_by_the_type(dtype):
    """Of any size, and in each run anew."""
    x = torch.randn(900, 3, dtype=dtype)
    for num_edges in (10, 2**16):
        adj_t = normalized_adj(torch.randint(900, (2, num_edges)), None, 900)
        with kernels.run():
            kernel = kernel_for(adj_t, x, torch.empty_like(x))
            expected = torch.empty_like(x)
            kernel(adj_t, x, expected)
            assert torch.equal(propagate(adj_t, x), expected)
            (name,) = kernels.chosen().values()
            assert KERNELS[name] is kernel
    if dtype == torch.float32:
        assert name == "bags"


def test_a_kernel_that_does_not_run_here(monkeypatch):
    adj_t, x = normalized_adj(torch.randint(9, (2, 30)), None, 9), torch.randn(9, 3)

    def fails(*args):
        raise RuntimeError("not on this device")

    monkeypatch.setitem(KERNELS, "matmul", fails)
    for name in ("matmul", "of another version"):
        with kernels.run({"product on cpu in float32": name}):
            with pytest.raises(ValueError, match=f"by the kernel '{name}'"):
                propagate(adj_t, x)
    propagate(adj_t, x)


def test_symmetry_and_adjoint():
    edge_index, weight = torch.randint(50, (2, 300)), torch.rand(300)
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    adj_t = normalized_adj(both, torch.cat([weight, weight]), 50)
    assert is_symmetric(adj_t) and adjoint(adj_t) is adj_t
    assert is_symmetric(without(adj_t, edge_index[:, :9]))
    one_way = normalized_adj(edge_index, weight, 50)
    assert not is_symmetric(one_way)
    transpose = adjoint(one_way)
    torch.testing.assert_close(transpose.to_dense(), one_way.to_dense().t())
    assert adjoint(one_way) is transpose  # Made once.
    for change in (0, 299):  # One weight of one direction.
        other = torch.cat([weight, weight])
        other[change] += 0.5
        assert not is_symmetric(normalized_adj(both, other, 50))
    wide = torch.sparse_csr_tensor([0, 1], [2], [1.0], (1, 3))
    assert not is_symmetric(wide)
    empty = normalized_adj(edge_index[:, :0], None, 5)
    assert is_symmetric(empty)
    assert torch.equal(propagate(empty, torch.ones(5, 2)), torch.zeros(5, 2))
    assert without(empty, edge_index[:, :3] % 5).values().numel() == 0


def test_degree_has_one_rule():
    edge_index, weight = torch.randint(6, (2, 30)), torch.rand(30)
    edge_index = edge_index.unique(dim=1)
    weight = weight[: edge_index.size(1)]
    expected = torch.zeros(6)
    for source, target, w in zip(*edge_index.tolist(), weight.tolist(), strict=True):
        expected[target] += w * (source != target)
    torch.testing.assert_close(degree(edge_index, weight, 6), expected)
    matrix = torch.sparse_coo_tensor(edge_index.flip(0), weight, (6, 6)).coalesce()
    torch.testing.assert_close(degree(matrix, None, 6), expected)
    torch.testing.assert_close(degree(matrix.to_sparse_csr(), None, 6), expected)


def test_a_sorted_matrix_is_not_sorted_again():
    edge_index, weight = torch.randint(40, (2, 200)).unique(dim=1), None
    weight = torch.rand(edge_index.size(1))
    expected = normalized_adj(edge_index, weight, 40)
    matrix = torch.sparse_coo_tensor(edge_index.flip(0), weight, (40, 40))
    actual = normalized_adj(matrix.coalesce().to_sparse_csr())
    torch.testing.assert_close(actual.to_dense(), expected.to_dense())
    assert actual.col.dtype == torch.int32
    shuffled = torch.sparse_csr_tensor([0, 2, 2], [1, 0], [2.0, 3.0], (2, 2))
    dense = torch.tensor([[3.0, 2.0], [0.0, 0.0]])
    degree = dense.sum(1).clamp(min=1e-9).rsqrt() * (dense.sum(1) > 0)
    torch.testing.assert_close(
        normalized_adj(shuffled).to_dense(), degree[:, None] * dense * degree
    )


def test_degrees_stay_with_a_matrix(graph, pairs):
    expected = torch.bincount(graph.edge_index[1], minlength=13).float()
    adj_t = normalized_adj(graph.edge_index, num_nodes=13)
    moved = adj_t.double()  # A new matrix, of which nothing is known.
    for matrix in (adj_t, without(adj_t, pairs[:, :5]), moved):
        torch.testing.assert_close(degree_of(matrix), expected)
    torch.testing.assert_close(degree_of(without(moved, pairs[:, :5])), expected)
    again = without(adj_t, pairs).double()  # Entries of zero count.
    torch.testing.assert_close(degree_of(again), expected)


def test_degrees_of_weights(graph, pairs):
    weight = torch.rand(pairs.size(1)).repeat(2) + 0.1
    expected = torch.zeros(12).index_add(0, graph.edge_index[1], weight)
    adj_t = normalized_adj(graph.edge_index, weight, 12)
    torch.testing.assert_close(degree_of(adj_t), expected)
    torch.testing.assert_close(degree_of(without(adj_t, pairs[:, :5])), expected)
    with pytest.raises(ValueError, match="moved"):
        degree_of(adj_t.double())


def test_reverse_entries(graph, pairs):
    adj_t = normalized_adj(graph.edge_index, num_nodes=13)
    reverse = reverse_entries(adj_t)
    row, col = adj_t.to_sparse_coo().indices()
    assert torch.equal(row[reverse], col) and torch.equal(col[reverse], row)
    assert reverse_entries(without(adj_t, pairs[:, :5])) is reverse
    with pytest.raises(ValueError, match="symmetric"):
        reverse_entries(normalized_adj(pairs, num_nodes=12))
