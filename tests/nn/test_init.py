import pytest
import torch

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.nn.init import spectral_
from tests.dense import dense_adj


@pytest.mark.parametrize("loops", [False, True])
def test_spectral_spans_the_leading_singular_vectors(graph, loops):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes, loops)
    table = torch.empty(graph.num_nodes, 3)
    assert spectral_(table, adj_t, graph.num_users, std=0.5) is table
    torch.testing.assert_close(table.square().mean().sqrt(), torch.tensor(0.5))
    dense = dense_adj(graph.edge_index, graph.num_nodes, add_self_loops=loops).float()
    u, _, vh = torch.linalg.svd(dense[: graph.num_users, graph.num_users :])
    for found, exact in (
        (table[: graph.num_users], u),
        (table[graph.num_users :], vh.t()),
    ):
        found = found / found.norm(dim=0)
        overlap = (found.t() @ exact[:, :3]).abs()
        torch.testing.assert_close(overlap, torch.eye(3), atol=1e-3, rtol=0.0)


def test_spectral_of_nodes_without_an_edge(graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes + 2)
    table = spectral_(torch.empty(graph.num_nodes + 2, 3), adj_t, graph.num_users)
    assert (table.norm(dim=1) > 0).all()


def test_spectral_refuses_what_does_not_fit(graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes)
    with pytest.raises(ValueError, match="sparse CSR matrix of size"):
        spectral_(torch.empty(3, 2), adj_t, 2)
    with pytest.raises(ValueError, match="lower 'embedding_dim'"):
        spectral_(torch.empty(graph.num_nodes, 64), adj_t, graph.num_users)
