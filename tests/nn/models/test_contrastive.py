"""SimGCL, XSimGCL and SGL: their losses and gradients again, from dense matrices."""

from itertools import pairwise

import pytest
import torch

from ltgnn_pyg import Graph, PairLoader
from ltgnn_pyg.graph.graph_dropout import graph_dropout
from ltgnn_pyg.nn import SGL, LightGCN, SimGCL, XSimGCL
from ltgnn_pyg.nn.conv import noisy_layers
from tests.dense import contrastive_loss, dense_adj


def without_layer_0(**kwargs):
    """LightGCN of three layers, of which the table itself is none."""
    return LightGCN(7, 5, 4, layer_weights=[0.0, 1 / 3, 1 / 3, 1 / 3], **kwargs)


def noisy(adj, x, num_layers, eps):
    """Layers with noise, whose draws are those of the model if the seed is."""
    out = []
    for _ in range(num_layers):
        x = adj @ x
        if eps > 0:
            noise = torch.rand(x.size(), dtype=x.dtype)
            noise = noise / noise.norm(dim=1, keepdim=True)
            x = x + eps * x.sign() * noise
        out.append(x)
    return out


def mean(layers):
    return sum(layers) / len(layers)


def simgcl(model, adj, x):
    views = [mean(noisy(adj, x, model.num_layers, model.eps)) for _ in range(2)]
    return mean(noisy(adj, x, model.num_layers, 0.0)), *views


def xsimgcl(model, adj, x):
    layers = noisy(adj, x, model.num_layers, model.eps)
    return mean(layers), mean(layers), layers[model.contrast_layer - 1]


def sgl(model, adj, x):
    drop, tables = (model.edge_dropout, model.node_dropout), []
    whole = model.graph.matrix
    matrices = [whole, *(graph_dropout(whole, *drop) for _ in range(2))]
    for dense in (matrix.to_dense().to(x.dtype) for matrix in matrices):
        layers = [x]
        for _ in range(model.num_layers):
            layers.append(dense @ layers[-1])
        tables.append(mean(layers))
    return tables


CASES = [
    (SimGCL, {}, simgcl),
    (SimGCL, {"num_layers": 1, "contrast_weight": 2.0}, simgcl),
    (SimGCL, {"eps": 0.0, "contrast_temperature": 0.5}, simgcl),
    (XSimGCL, {}, xsimgcl),
    (XSimGCL, {"num_layers": 2, "contrast_layer": 2, "eps": 0.05}, xsimgcl),
    (SGL, {}, sgl),
    (SGL, {"node_dropout": 0.3, "edge_dropout": 0.0, "num_layers": 2}, sgl),
]


@pytest.mark.parametrize(("cls", "settings", "tables"), CASES)
def test_exact_gradient(graph, pairs, cls, settings, tables):
    loader = PairLoader(graph, pairs, batch_size=5, num_rounds=2)
    model = cls(7, 5, 4, init_std=1.0, **settings).double()
    for batch in loader:
        x = model.inputs.weight.detach().clone().requires_grad_()
        user, item = pairs[:, batch.input_id]
        adj = dense_adj(graph.edge_index, graph.num_nodes)
        adj[user, item] = adj[item, user] = 0.0
        model.graph = batch.graph
        torch.manual_seed(3)
        z = tables(model, adj, x)
        parts = [slice(*ends) for ends in pairwise(batch.pair_ptr)]
        parts = [(user[part], item[part]) for part in parts]
        settings = model.contrast_weight, model.contrast_temperature
        expected = contrastive_loss(*z, parts, *settings)
        expected.backward()
        model.zero_grad()
        torch.manual_seed(3)
        loss = model.loss(batch)
        loss.backward()
        tolerance = {"atol": 1e-6, "rtol": 1e-5}  # Degrees are of float32.
        torch.testing.assert_close(loss, expected, **tolerance)
        torch.testing.assert_close(model.inputs.weight.grad, x.grad, **tolerance)
        torch.manual_seed(3)
        with torch.no_grad():
            torch.testing.assert_close(model.loss(batch), loss)


@pytest.mark.parametrize("cls", [SimGCL, XSimGCL])
def test_without_noise_it_is_lightgcn_without_layer_0(graph, cls):
    model = cls(7, 5, 4, eps=0.0, contrast_weight=0.0, weight_decay=0.1, init_std=1.0)
    other = without_layer_0(weight_decay=0.1)
    other.inputs.load_state_dict(model.inputs.state_dict())
    batch = next(iter(PairLoader(graph, batch_size=5)))
    grads = []
    for m in (model, other):
        m.loss(batch).backward()
        grads.append(m.inputs.weight.grad)
    torch.testing.assert_close(*grads)
    torch.testing.assert_close(model.loss(batch), other.loss(batch))
    embeddings = [m.encode(Graph.from_data(graph)) for m in (model, other)]
    torch.testing.assert_close(*embeddings)


def test_what_is_scored_has_no_noise(graph):
    for model in (SimGCL(7, 5, 4, eps=9.0), XSimGCL(7, 5, 4, eps=9.0), SGL(7, 5, 4)):
        z = model.encode(Graph.from_data(graph))
        assert torch.equal(model.encode(Graph.from_data(graph)), z)
        other = LightGCN(7, 5, 4) if isinstance(model, SGL) else without_layer_0()
        other.inputs.load_state_dict(model.inputs.state_dict())
        torch.testing.assert_close(other.encode(Graph.from_data(graph)), z)


def test_sgl_without_dropout_has_views_alike(graph):
    model = SGL(7, 5, 4, edge_dropout=0.0, init_std=1.0)
    batch = next(iter(PairLoader(graph)))
    rows = model.rows(batch.graph, batch.n_id)
    one, two, three = rows.chunk(3, dim=1)
    torch.testing.assert_close(one, two)
    assert torch.equal(two, three)


def test_noise_keeps_length_and_orthant(graph):
    loader = PairLoader(graph)
    first = torch.randn(12, 4)
    first[3] = 0.0  # Of an isolated node.
    (layer,) = noisy_layers(first, loader.graph.operator, 1, 0.01)
    noise = layer - first
    rest = torch.arange(12) != 3
    torch.testing.assert_close(noise[rest].norm(dim=1), torch.full((11,), 0.01))
    assert (noise.sign() == first.sign()).all()


@pytest.mark.parametrize("cls", [SGL, SimGCL, XSimGCL])
def test_bad_arguments(graph, cls):
    for name in ("num_layers", "contrast_temperature"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            cls(7, 5, **{name: 0})
    with pytest.raises(ValueError, match="'contrast_weight'"):
        cls(7, 5, contrast_weight=-1.0)
    for name in ("edge_dropout", "node_dropout") if cls is SGL else ("eps",):
        with pytest.raises(ValueError, match=f"'{name}'"):
            cls(7, 5, **{name: -1.0})
    with pytest.raises(ValueError, match="'inner_steps=False'"):
        cls(7, 5).loss(next(iter(PairLoader(graph, inner_steps=True))))


def test_xsimgcl_has_its_layer():
    with pytest.raises(ValueError, match="'contrast_layer'"):
        XSimGCL(7, 5, contrast_layer=4)
