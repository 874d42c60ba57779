import pytest
import torch

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.graph import drop_edges


def test_entries_are_dropped_or_scaled_up(graph):
    adj_t = normalized_adj(graph.edge_index, num_nodes=12)
    full, mean = adj_t.to_dense(), torch.zeros(12, 12)
    for _ in range(400):
        dropped = drop_edges(adj_t, 0.4).to_dense()
        stays = dropped != 0
        torch.testing.assert_close(dropped[stays], full[stays] / 0.6)
        mean += dropped / 400
    assert not torch.equal(dropped, dropped.t())  # Each direction for itself.
    torch.testing.assert_close(mean, full, atol=0.12, rtol=0.0)


def test_its_transpose_is_exact(graph, pairs):
    adj_t = normalized_adj(graph.edge_index, num_nodes=12)
    for matrix in (adj_t, adj_t.without(pairs[:, :3])):
        dropped = drop_edges(matrix, 0.5)
        assert torch.equal(dropped.adjoint.to_dense(), dropped.to_dense().t())
        x = torch.randn(12, 3, requires_grad=True)
        g = torch.randn(12, 3)
        (dropped @ x).backward(g)
        torch.testing.assert_close(x.grad, dropped.to_dense().t() @ g)


def test_nothing_dropped(graph):
    adj_t = normalized_adj(graph.edge_index, num_nodes=12)
    assert torch.equal(drop_edges(adj_t, 0.0).to_dense(), adj_t.to_dense())


def test_refused(graph, pairs):
    adj_t = normalized_adj(graph.edge_index, num_nodes=12)
    for p in (1.0, -0.1):
        with pytest.raises(ValueError, match="'p'"):
            drop_edges(adj_t, p)
    with pytest.raises(ValueError, match="symmetric"):
        drop_edges(normalized_adj(pairs, num_nodes=12), 0.5)
