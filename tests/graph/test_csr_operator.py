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
        adj_t.with_value(adj_t.value).degree


def test_reverse_entries(graph, pairs):
    adj_t = normalized_adj(graph.edge_index, num_nodes=13)
    reverse = adj_t.reverse
    row, col = adj_t.tensor().to_sparse_coo().indices()
    assert torch.equal(row[reverse], col) and torch.equal(col[reverse], row)
    assert adj_t.without(pairs[:, :5]).reverse is reverse
    with pytest.raises(ValueError, match="symmetric"):
        normalized_adj(pairs, num_nodes=12).reverse
