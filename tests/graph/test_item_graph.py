import pytest
import torch
from torch_geometric.transforms import AddSelfLoops

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.graph import item_graph as module
from ltgnn_pyg.graph.adjacency import without
from ltgnn_pyg.graph.item_graph import item_graph


def dense(pairs, num_users, num_items):
    r = torch.zeros(num_users, num_items, dtype=torch.double)
    r[pairs[0], pairs[1] - num_users] = 1.0
    g = r.t() @ r
    total = g.sum(1)
    left = ((total + 1).sqrt() / total).nan_to_num(posinf=0.0)
    return left[:, None] * g * (total + 1).rsqrt()


def random_pairs(num_users, num_items):
    taken = torch.rand(num_users, num_items) < torch.rand(num_items)
    taken[:, -1] = False  # Nobody takes the last one,
    taken[-1] = False  # or is the last one.
    user, item = taken.nonzero().t()
    return torch.stack([user, item + num_users])


@pytest.mark.parametrize("block", [1, 50, 2**22])
@pytest.mark.parametrize("num", [1, 4, 30])
def test_equals_the_dense_form(monkeypatch, block, num):
    monkeypatch.setattr(module, "BLOCK", block)
    pairs = random_pairs(20, 12)
    adj_t = normalized_adj(torch.cat([pairs, pairs.flip(0)], 1), num_nodes=32)
    neighbor, omega = item_graph(adj_t, 20, num)
    assert neighbor.shape == omega.shape == (12, num)
    expected = dense(pairs, 20, 12)
    top = torch.zeros(12, num, dtype=torch.double)
    top[:, : min(num, 12)] = expected.topk(min(num, 12), dim=1).values
    torch.testing.assert_close(omega.double(), top)
    # They are those items', each once.
    row = torch.arange(12).unsqueeze(1)
    found = torch.where(omega > 0, expected[row, neighbor].float(), 0.0)
    torch.testing.assert_close(found, omega)
    assert (neighbor[omega == 0] == row.expand(12, num)[omega == 0]).all()
    for items, weights in zip(neighbor, omega, strict=True):
        assert items[weights > 0].unique().numel() == (weights > 0).sum()


def test_kept_with_the_graph():
    """Also with those that pairs were left out of: it is that of all."""
    pairs = random_pairs(20, 12)
    adj_t = normalized_adj(torch.cat([pairs, pairs.flip(0)], 1), num_nodes=32)
    first = item_graph(without(adj_t, pairs[:, :9]), 20, 3)
    again = item_graph(adj_t, 20, 3)
    assert first[0] is again[0] and first[1] is again[1]
    assert item_graph(adj_t, 20, 4)[0].size(1) == 4
    torch.testing.assert_close(
        again[1].double(), dense(pairs, 20, 12).topk(3, dim=1).values
    )


def test_refuses_self_loops(graph):
    loops = AddSelfLoops(attr=None)(graph)
    with pytest.raises(ValueError, match="self-loops"):
        item_graph(normalized_adj(loops.edge_index), 7)
