import sys

import pytest
import torch
from torch_geometric.transforms import AddSelfLoops

from ltgnn_pyg.graph import Edges, Graph, Numbering, item_graph


def graph_of(pairs, num_users, num_items):
    return Graph(Numbering.of({"user": num_users, "item": num_items}), Edges(pairs))


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
    module = sys.modules["ltgnn_pyg.graph.item_graph"]
    monkeypatch.setattr(module, "BLOCK", block)
    pairs = random_pairs(20, 12)
    neighbor, omega = item_graph(graph_of(pairs, 20, 12), num)
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
    graph = graph_of(pairs, 20, 12)
    first = item_graph(graph.without(pairs[:, :9]), 3)
    again = item_graph(graph, 3)
    assert first[0] is again[0] and first[1] is again[1]
    assert item_graph(graph, 4)[0].size(1) == 4
    torch.testing.assert_close(
        again[1].double(), dense(pairs, 20, 12).topk(3, dim=1).values
    )


def test_self_loops_have_no_say(graph):
    """They are edges of another type than what is recommended."""
    loops = AddSelfLoops(attr=None)(graph)
    for one, two in zip(
        item_graph(Graph.from_data(loops), 3),
        item_graph(Graph.from_data(graph), 3),
        strict=True,
    ):
        assert torch.equal(one, two)
