import pytest
import torch
import torch.nn.functional as F

from ltgnn_pyg import Graph, PairLoader
from ltgnn_pyg.nn import NGCF, BPRLoss


def build(num_items=5, **kwargs):
    model = NGCF(7, num_items, 4, init_std=1.0, **kwargs).double()
    for layer in (*model.of_sum, *model.of_product):  # Biases have a say.
        torch.nn.init.normal_(layer.bias)
    return model


def dense(model, edge_index, weight=None, removed=None):
    """The reference code's equations, over S = (D + I)^-1 (A + I)."""
    num_nodes = model.num_nodes
    a = torch.zeros(num_nodes, num_nodes, dtype=torch.double)
    weight = torch.ones(edge_index.size(1)) if weight is None else weight
    a[edge_index[1], edge_index[0]] = weight.double()
    a += torch.eye(num_nodes)
    d = a.sum(1, keepdim=True)
    if removed is not None:
        a[removed[0], removed[1]] = a[removed[1], removed[0]] = 0.0
    s, e = a / d, model.inputs.weight
    out = [e]
    for one, two in zip(model.of_sum, model.of_product, strict=True):
        side = s @ e
        total = F.leaky_relu(side @ one.weight.t() + one.bias, 0.2)
        e = total + F.leaky_relu((e * side) @ two.weight.t() + two.bias, 0.2)
        out.append(e / e.norm(dim=1, keepdim=True))
    return torch.cat(out, 1)


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("form", ["plain", "weighted", "left out"])
def test_equals_the_dense_form(graph, pairs, num_layers, form):
    """With a node without an edge, too, and the gradient of every parameter."""
    model = build(num_items=6, num_layers=num_layers, dropout=0.0)
    weight = torch.rand(pairs.size(1)).repeat(2) + 0.1 if form == "weighted" else None
    graph.edge_weight, graph.num_nodes = weight, 13
    given = Graph.from_data(graph)
    removed = pairs[:, :4] if form == "left out" else None
    given = given if removed is None else given.without(removed)
    z, expected = model.encode(given), dense(model, graph.edge_index, weight, removed)
    assert z.shape == (13, model.out_dim) == (13, 4 * (num_layers + 1))
    close = {"atol": 1e-6, "rtol": 1e-6}
    torch.testing.assert_close(z, expected, **close)
    g, params = torch.randn_like(z), list(model.parameters())
    actual = torch.autograd.grad(z, params, g)
    expected = torch.autograd.grad(expected, params, g)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_messages_are_dropped_in_training_only(graph):
    graph = Graph.from_data(graph)
    model, plain = build(num_layers=1, dropout=0.5), build(num_layers=1, dropout=0.0)
    plain.load_state_dict(model.state_dict())
    expected = plain.encode(graph)
    torch.testing.assert_close(model.eval().encode(graph), expected)
    z = model.train().encode(graph)
    torch.testing.assert_close(z[:, :4], expected[:, :4])  # The table is not.
    dropped = z[:, 4:] == 0
    assert 0.2 < dropped.double().mean() < 0.8
    # What stays keeps its proportions.
    ratio = (z[:, 4:] / expected[:, 4:]).masked_fill(dropped, torch.nan)
    lowest, highest = ratio.nan_to_num(9e9).amin(1), ratio.nan_to_num(-9e9).amax(1)
    some = ~dropped.all(1)
    torch.testing.assert_close(lowest[some], highest[some])
    vectors = model.scorer(graph).vectors  # In training, but scored whole.
    expected = plain.scorer(graph).vectors
    torch.testing.assert_close(vectors.user, expected.user)
    assert model.training


def test_decay_is_of_what_is_scored(graph, pairs):
    loader = PairLoader(graph, pairs, batch_size=6, neg_sampling="triplet")
    batch = next(iter(loader))
    model = build(dropout=0.0, loss_fn=BPRLoss(), weight_decay=0.3)
    plain = build(dropout=0.0, loss_fn=BPRLoss())
    plain.load_state_dict(model.state_dict())
    z = model.encode(batch.graph)[batch.n_id]
    square = z.square().sum(1)
    rows = square[batch.src_index] + square[batch.dst_pos_index]
    rows = rows + square[batch.dst_neg_index]
    expected = plain.loss(batch) + 0.3 / 2 * rows.mean()
    torch.testing.assert_close(model.loss(batch), expected)


def test_bad_arguments():
    for kwargs in ({"num_layers": 0}, {"dropout": 1.0}, {"dropout": -0.1}):
        with pytest.raises(ValueError, match="'num_layers' and 'dropout'"):
            NGCF(7, 5, **kwargs)
