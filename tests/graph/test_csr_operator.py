import pytest
import torch

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.graph import CSROperator


def test_without(graph, pairs):
    weight = torch.rand(graph.num_edges)
    for edge_weight in (None, weight):
        adj_t = normalized_adj(graph.edge_index, edge_weight, graph.num_nodes)
        expected = adj_t.to_dense()
        out = pairs[:, [0, 3, 3, 7]]
        expected[out[0], out[1]] = expected[out[1], out[0]] = 0.0
        absent = torch.tensor([[0, 11], [1, 11]])  # No edges of the graph.
        assert torch.equal(
            adj_t.without(torch.cat([out, absent], 1)).to_dense(), expected
        )
        assert torch.equal(adj_t.without(out[:, :0]).to_dense(), adj_t.to_dense())
        twice = torch.cat([graph.edge_index] * 2, 1)
        adj_t = normalized_adj(twice, None, graph.num_nodes)
        again = adj_t.without(out).to_dense()
        assert torch.equal(again == 0, expected == 0)
        adj_t = normalized_adj(graph.edge_index, edge_weight, graph.num_nodes)
        everything = adj_t.without(pairs)
        assert everything.value.count_nonzero() == 0


def test_symmetry_and_adjoint():
    edge_index, weight = torch.randint(50, (2, 300)), torch.rand(300)
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    adj_t = normalized_adj(both, torch.cat([weight, weight]), 50)
    assert adj_t.is_symmetric and adj_t.adjoint is adj_t
    assert adj_t.without(edge_index[:, :9]).is_symmetric
    one_way = normalized_adj(edge_index, weight, 50)
    assert not one_way.is_symmetric
    transpose = one_way.adjoint
    torch.testing.assert_close(transpose.to_dense(), one_way.to_dense().t())
    assert one_way.adjoint is transpose  # Made once.
    for change in (0, 299):  # One weight of one direction.
        other = torch.cat([weight, weight])
        other[change] += 0.5
        assert not normalized_adj(both, other, 50).is_symmetric
    wide = CSROperator.from_coo(torch.tensor([0]), torch.tensor([2]), 1, 3)
    assert not wide.is_symmetric
    empty = normalized_adj(edge_index[:, :0], None, 5)
    assert empty.is_symmetric
    assert torch.equal(empty @ torch.ones(5, 2), torch.zeros(5, 2))
    assert empty.without(edge_index[:, :3] % 5).value.numel() == 0


def test_degrees_stay_with_a_matrix(graph, pairs):
    expected = torch.bincount(graph.edge_index[1], minlength=13).float()
    adj_t = normalized_adj(graph.edge_index, num_nodes=13)
    moved = adj_t.to(torch.double)
    for matrix in (adj_t, adj_t.without(pairs[:, :5]), moved):
        torch.testing.assert_close(matrix.degree.float(), expected)
    torch.testing.assert_close(moved.without(pairs[:, :5]).degree.float(), expected)
    again = adj_t.without(pairs).to(torch.double)  # Entries of zero count.
    torch.testing.assert_close(again.degree.float(), expected)


def test_degrees_of_weights(graph, pairs):
    weight = torch.rand(pairs.size(1)).repeat(2) + 0.1
    expected = torch.zeros(12).index_add(0, graph.edge_index[1], weight)
    adj_t = normalized_adj(graph.edge_index, weight, 12)
    torch.testing.assert_close(adj_t.degree, expected)
    torch.testing.assert_close(adj_t.without(pairs[:, :5]).degree, expected)
    for moved in (adj_t.to(torch.double), adj_t.to(torch.double).without(pairs)):
        torch.testing.assert_close(moved.degree, expected.double())
        assert moved.dtype == torch.double and moved.is_symmetric
    with pytest.raises(ValueError, match="degrees are known"):
        _ = adj_t.with_value(adj_t.value).degree


def test_reverse_entries(graph, pairs):
    adj_t = normalized_adj(graph.edge_index, num_nodes=13)
    reverse = adj_t.reverse
    row, col = adj_t.tensor().to_sparse_coo().indices()
    assert torch.equal(row[reverse], col) and torch.equal(col[reverse], row)
    assert adj_t.without(pairs[:, :5]).reverse is reverse
    with pytest.raises(ValueError, match="symmetric"):
        _ = normalized_adj(pairs, num_nodes=12).reverse


@pytest.mark.parametrize("num_rows, num_cols", [(6, 4), (4, 6), (3, 0), (0, 3)])
def test_from_entries_and_from_a_tensor(num_rows, num_cols):
    num = 20 if num_rows * num_cols else 0
    row = torch.randint(max(num_rows, 1), (num,))
    col = torch.randint(max(num_cols, 1), (num,))
    for value in (None, torch.rand(num, dtype=torch.double)):
        found = CSROperator.from_coo(row, col, num_rows, num_cols, value)
        assert (found.num_rows, found.num_cols) == (num_rows, num_cols)
        assert found.rowptr.dtype == found.col.dtype == torch.int32
        expected = torch.zeros(num_rows, num_cols, dtype=found.dtype)
        one = torch.ones(num) if value is None else value
        expected.index_put_((row, col), one, accumulate=True)
        torch.testing.assert_close(found.to_dense(), expected)
        for low, high in zip(found.rowptr[:-1], found.rowptr[1:], strict=True):
            assert (found.col[low:high].diff() >= 0).all()
        again = CSROperator.from_tensor(found.tensor())
        assert again.value.data_ptr() == found.value.data_ptr()
        assert torch.equal(again.to_dense(), found.to_dense())
        if num:
            assert torch.equal(found.pattern.row, row.sort().values.int())
            torch.testing.assert_close(found.adjoint.to_dense(), expected.t())
    with pytest.raises(ValueError, match="sparse CSR matrix"):
        CSROperator.from_tensor(torch.eye(3).to_sparse_coo())


def test_product_and_its_gradient():
    """Of a matrix that is not symmetric; a table of another size is refused."""
    dense = torch.rand(6, 4, dtype=torch.double) * (torch.rand(6, 4) < 0.5)
    matrix = CSROperator.from_tensor(dense.to_sparse_csr())
    x = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    torch.testing.assert_close(matrix @ x, dense @ x)
    assert torch.autograd.gradcheck(lambda x: matrix @ x, x)
    assert torch.autograd.gradgradcheck(lambda x: (matrix @ x).sin(), x)
    for other in (x[:3], x[:, 0]):
        with pytest.raises(ValueError, match="a row for each column of the matrix"):
            _ = matrix @ other


def test_other_values_in_the_same_places(graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    reverse, value = adj_t.reverse, torch.rand(graph.num_edges)
    other = adj_t.with_value(value)
    assert other.pattern is adj_t.pattern and not other.is_symmetric
    row, col = adj_t.tensor().to_sparse_coo().indices()
    expected = torch.zeros(12, 12).index_put((row, col), value)
    assert torch.equal(other.to_dense(), expected)
    transpose = adj_t.with_value(value[reverse])
    assert torch.equal(transpose.to_dense(), expected.t())
    known = adj_t.with_value(value, transpose=transpose)
    assert known.adjoint is transpose


def test_what_is_known_moves_along(graph, device):
    weight = torch.rand(graph.num_edges // 2).repeat(2) + 0.1
    adj_t = normalized_adj(graph.edge_index, weight, 12)
    reverse = adj_t.reverse
    moved = adj_t.to(device)
    assert moved.device == device and moved._is_symmetric
    assert torch.equal(moved.pattern.__dict__["reverse"].cpu(), reverse)
    torch.testing.assert_close(moved.degree.cpu(), adj_t.degree)
    one_way = adj_t.with_value(torch.rand(graph.num_edges))
    transpose = one_way.adjoint
    for moved in (one_way.to(device), one_way.to(torch.double)):
        found = moved._transpose.to_dense().cpu().float()
        assert torch.equal(found, transpose.to_dense())


def test_degrees_of_hubs_in_few_bits():
    """They are kept in 32 bits at least."""
    num = 70_000
    spokes = torch.arange(1, num + 1)
    edge_index = torch.stack([torch.zeros_like(spokes), spokes])
    weight = torch.full((2 * num,), 2.0)
    adj_t = normalized_adj(torch.cat([edge_index, edge_index.flip(0)], 1), weight)
    for dtype in (torch.float16, torch.bfloat16):
        degree = adj_t.to(dtype).degree
        assert degree.dtype == torch.float and degree[0] == 2 * num
