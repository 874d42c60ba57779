import torch

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.adjacency import BLOCK, propagate, without


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
