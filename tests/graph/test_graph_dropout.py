import pytest
import torch

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.graph import graph_dropout
from tests.dense import dense_adj


@pytest.fixture
def adj_t(graph):
    return normalized_adj(graph.edge_index, None, graph.num_nodes)


@pytest.mark.parametrize("drop", [(0.0, 0.0), (0.4, 0.0), (0.0, 0.3), (0.3, 0.2)])
def test_is_the_normalised_rest(graph, adj_t, drop):
    for _ in range(20):
        out = graph_dropout(adj_t, *drop)
        dense = out.to_dense()
        assert torch.equal(dense, dense.t())
        rest = dense.nonzero().t()
        expected = dense_adj(rest, graph.num_nodes, dtype=torch.float)
        torch.testing.assert_close(dense, expected)
        assert out.is_symmetric


def test_entries_taken_out_stay_out(graph, pairs, adj_t):
    """Degrees are of the edges kept, those taken out among them."""
    rest = adj_t.without(pairs[:, :3])
    same = graph_dropout(rest, 0.0, 0.0).to_dense()
    torch.testing.assert_close(same, rest.to_dense())
    out = graph_dropout(rest, 0.5).to_dense()
    assert (out[tuple(pairs[:, :3])] == 0).all()


def test_weights_stay_in_proportion(graph):
    weight = torch.rand(graph.edge_index.size(1) // 2) + 0.1
    adj_t = normalized_adj(graph.edge_index, torch.cat([weight, weight]))
    out, full = graph_dropout(adj_t, 0.4).to_dense(), adj_t.to_dense()
    count, kept = (full > 0).sum(1), (out > 0).sum(1)
    scale = (count / kept.clamp(min=1)).sqrt()
    expected = scale.unsqueeze(1) * scale * full
    torch.testing.assert_close(out, expected.where(out > 0, 0.0))


def test_how_many_are_kept():
    """Each edge by chance, and without regard to the others."""
    num = 300
    user, item = torch.ones(num, num).nonzero().t()
    pairs = torch.stack([user, item + num])
    adj_t = normalized_adj(torch.cat([pairs, pairs.flip(0)], 1))
    block = slice(0, num), slice(num, 2 * num)
    kept = (graph_dropout(adj_t, 0.3).to_dense()[block] > 0).double()
    assert abs(kept.mean() - 0.7) < 5 * (0.21 / num**2) ** 0.5
    for dim in (0, 1):  # As many by row and by column as independent draws leave.
        spread = kept.sum(dim).var() / (0.21 * num)
        assert 0.6 < spread < 1.5
    other = (graph_dropout(adj_t, 0.3).to_dense()[block] > 0).double()
    both = torch.corrcoef(torch.stack([kept.view(-1), other.view(-1)]))[0, 1]
    assert both.abs() < 5 / num
    # Nor does the fourth corner of a rectangle follow from the other three.
    corner = kept - 0.7
    product = corner[:-1, :-1] * corner[1:, :-1] * corner[:-1, 1:] * corner[1:, 1:]
    assert product.mean().abs() < 5 * 0.21**2 / num
    node = (graph_dropout(adj_t, 0.0, 0.3).to_dense()[block] > 0).double()
    rows, cols = node.amax(1), node.amax(0)
    assert torch.equal(node, rows.unsqueeze(1) * cols)
    assert 0.5 < rows.mean() < 0.9 and 0.5 < cols.mean() < 0.9


def test_an_isolated_node_stays():
    adj_t = normalized_adj(torch.tensor([[0, 1], [1, 0]]), None, 3)
    out = graph_dropout(adj_t, 0.5).to_dense()
    assert out.isfinite().all() and (out[2] == 0).all()


@pytest.mark.parametrize("drop", [(1.0, 0.0), (-0.5, 0.0), (0.0, 1.5), (0.0, -0.1)])
def test_shares_out_of_their_range(adj_t, drop):
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        graph_dropout(adj_t, *drop)
