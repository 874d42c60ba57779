import pytest
import torch

from ltgnn_pyg import normalized_adj
from tests.dense import dense_adj


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


def test_normalized_adj(graph):
    for loops in (False, True):
        adj = normalized_adj(graph.edge_index, None, graph.num_nodes, loops)
        expected = dense_adj(graph.edge_index, graph.num_nodes, None, loops).float()
        torch.testing.assert_close(adj.to_dense(), expected)
    edge_index = torch.randint(9, (2, 30)).unique(dim=1)
    weight = torch.rand(edge_index.size(1)) + 0.1
    adj = normalized_adj(edge_index, weight, 9)
    expected = dense_adj(edge_index, 9, weight).float()
    torch.testing.assert_close(adj.to_dense(), expected)
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
