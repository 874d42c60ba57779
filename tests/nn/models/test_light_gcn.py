import pytest
import torch
from torch_geometric.nn import LightGCN as PyGLightGCN

from ltgnn_pyg import Graph, PairLoader
from ltgnn_pyg.graph.edge_dropout import drop_edges
from ltgnn_pyg.nn import LightGCN
from tests.dense import dense_adj


@pytest.mark.parametrize("weights", [None, [0.1, 0.0, 0.5, 0.4]])
def test_equals_pygs(graph, weights):
    model = LightGCN(7, 5, 4, layer_weights=weights, init_std=1.0)
    alpha = None if weights is None else torch.tensor(weights)
    other = PyGLightGCN(12, 4, 3, alpha)
    other.embedding.load_state_dict(model.inputs.state_dict())
    expected = other.get_embedding(graph.edge_index)
    torch.testing.assert_close(model.encode(Graph.from_data(graph)), expected)


def test_dropout_in_training_only(graph):
    model, plain = LightGCN(7, 5, 4, dropout=0.5), LightGCN(7, 5, 4)
    plain.load_state_dict(model.state_dict())
    graph = Graph.from_data(graph)
    expected = plain.encode(graph)
    assert not torch.allclose(model.encode(graph), expected)
    assert torch.equal(model.eval().encode(graph), expected)
    vectors = model.train().scorer(graph).vectors
    assert torch.equal(vectors.user, plain.scorer(graph).vectors.user)


def test_a_step_with_dropout_is_exact_over_the_graph_it_saw(graph):
    model = LightGCN(7, 5, 4, num_layers=2, dropout=0.3, init_std=1.0).double()
    plain = LightGCN(7, 5, 4, num_layers=2).double()
    plain.load_state_dict(model.state_dict())
    batch = next(iter(PairLoader(graph, batch_size=5)))
    torch.manual_seed(1)
    a = drop_edges(batch.graph.matrix, 0.3).to_dense().double()
    x = plain.inputs.weight
    z = ((x + a @ x + a @ (a @ x)) / 3)[batch.n_id]
    expected = plain.objective(z, batch)
    torch.manual_seed(1)
    loss = model.loss(batch)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(
        model.inputs.weight.grad, plain.inputs.weight.grad, atol=1e-7, rtol=1e-6
    )


def test_no_inner_steps_with_dropout(graph):
    model = LightGCN(7, 5, 4, dropout=0.3)
    assert model.coefficients is None
    batch = next(iter(PairLoader(graph, batch_size=5, inner_steps=True)))
    with pytest.raises(ValueError, match="inner_steps=False"):
        model.loss(batch)


def test_layers_by_hand(graph):
    model = LightGCN(7, 5, 4, num_layers=1, layer_weights=[0.3, 0.7]).double()
    x = model.inputs.weight
    expected = 0.3 * x + 0.7 * dense_adj(graph.edge_index, 12) @ x
    z = model.encode(Graph.from_data(graph))
    torch.testing.assert_close(z, expected, atol=1e-7, rtol=1e-6)


def test_bad_arguments():
    for weights in ([1.0], [float("nan"), 1.0, 1.0, 1.0]):
        with pytest.raises(ValueError, match="4 finite 'layer_weights'"):
            LightGCN(7, 5, layer_weights=weights)
    with pytest.raises(ValueError, match="'dropout'"):
        LightGCN(7, 5, dropout=1.0)
