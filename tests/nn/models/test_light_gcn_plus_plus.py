import pytest
import torch

from ltgnn_pyg import Graph
from ltgnn_pyg.nn import LightGCNPlusPlus


@pytest.mark.parametrize("form", ["plain", "weighted", "left out"])
@pytest.mark.parametrize("alpha, beta, gamma", [(0.6, -0.1, 0.2), (0.5, 0.5, 0.0)])
def test_equals_the_dense_form(graph, pairs, form, alpha, beta, gamma):
    """Of D^-alpha A D^-beta itself; a node has no edge."""
    settings = {"alpha": alpha, "beta": beta, "gamma": gamma, "num_layers": 3}
    model = LightGCNPlusPlus(7, 6, 4, init_std=1.0, **settings).double()
    weight = torch.rand(pairs.size(1)).repeat(2) + 0.1 if form == "weighted" else None
    graph.edge_weight, graph.num_nodes = weight, 13
    whole = given = Graph.from_data(graph)
    a = torch.zeros(13, 13, dtype=torch.double)
    a[graph.edge_index[1], graph.edge_index[0]] = (
        torch.ones(graph.edge_index.size(1)) if weight is None else weight
    ).double()
    d = a.sum(1)
    if form == "left out":
        given = whole.without(pairs[:, :4])
        u, i = pairs[:, :4]
        a[u, i] = a[i, u] = 0.0
    d[12] = 1.0
    a = d.pow(-alpha)[:, None] * a * d.pow(-beta)
    x = model.inputs.weight
    h, layers = x, []
    for _ in range(3):
        h = a @ (h / h.norm(dim=1, keepdim=True).clamp(min=1e-12))
        layers.append(h)
    expected = gamma * x + (1 - gamma) * sum(layers) / 3
    z = model.encode(given)
    torch.testing.assert_close(z, expected, atol=1e-6, rtol=1e-6)
    g = torch.randn_like(z)
    actual, expected = (torch.autograd.grad(t, x, g)[0] for t in (z, expected))
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-6)


def test_the_length_of_a_row_has_a_say_in_its_own_only(graph):
    model = LightGCNPlusPlus(7, 5, 4, gamma=0.0)
    expected = model.encode(Graph.from_data(graph))
    with torch.no_grad():
        model.inputs.weight *= torch.rand(12, 1) + 0.5
    torch.testing.assert_close(model.encode(Graph.from_data(graph)), expected)


def test_bad_arguments():
    nan = float("nan")
    for kwargs in ({"num_layers": 0}, {"gamma": 1.1}, {"alpha": nan}, {"beta": nan}):
        with pytest.raises(ValueError, match="'num_layers', finite 'alpha'"):
            LightGCNPlusPlus(7, 5, **kwargs)
