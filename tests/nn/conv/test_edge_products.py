import pytest
import torch
from torch.autograd import gradcheck

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.nn.conv import edge_dot, edge_products, edge_sum


@pytest.fixture
def adj_t(graph):
    return normalized_adj(graph.edge_index, num_nodes=graph.num_nodes)


def ends(adj_t):
    row, col = adj_t.tensor().to_sparse_coo().indices()
    return row, col


def draw(*size):
    return torch.randn(*size, dtype=torch.double, requires_grad=True)


def test_against_dense_matrices(adj_t):
    row, col = ends(adj_t)
    weight, x, y = draw(2, row.numel()), draw(2, 12, 3), draw(2, 12, 3)
    dense = torch.zeros(2, 12, 12, dtype=torch.double)
    dense[:, row, col] = weight.detach()
    torch.testing.assert_close(edge_sum(weight, x, adj_t), dense @ x)
    expected = (x @ y.transpose(1, 2))[:, row, col]
    torch.testing.assert_close(edge_dot(x, y, adj_t), expected)


def test_gradients(adj_t, monkeypatch):
    monkeypatch.setattr(edge_products, "CHUNK", 7)
    weight, x, y = draw(2, ends(adj_t)[0].numel()), draw(2, 12, 2), draw(2, 12, 2)
    assert gradcheck(lambda *args: edge_sum(*args, adj_t), (weight, x))
    assert gradcheck(lambda *args: edge_dot(*args, adj_t), (x, y))


def test_only_what_is_asked_for(adj_t):
    weight, x = draw(1, ends(adj_t)[0].numel()), draw(1, 12, 2)
    edge_sum(weight.detach(), x, adj_t).sum().backward()
    edge_sum(weight, x.detach(), adj_t).sum().backward()
    _, col = ends(adj_t)
    torch.testing.assert_close(weight.grad[0], x.detach()[0, col].sum(1))
    expected = torch.zeros(12, dtype=torch.double)
    expected = expected.index_add(0, col, weight.detach()[0])
    torch.testing.assert_close(x.grad[0], expected.unsqueeze(1).expand(12, 2))


def test_refuses_one_direction(pairs):
    adj_t = normalized_adj(pairs, num_nodes=12)
    with pytest.raises(ValueError, match="symmetric"):
        edge_sum(draw(1, pairs.size(1)), draw(1, 12, 2), adj_t)
