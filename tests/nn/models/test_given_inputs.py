"""Inputs that are given: of a graph with more nodes than users and items."""

import pytest
import torch
from torch_geometric.data import HeteroData

from ltgnn_pyg import LTGNN, Graph, PairLoader
from ltgnn_pyg.inputs import Embeddings, Features, SumInputs
from ltgnn_pyg.nn import NGCF, SGL, LightGCN, MatrixFactorization, SimGCL, XSimGCL
from tests.toy import blocks


def graph_of(tags=True):
    data, train = HeteroData(), blocks().train
    data["user"].num_nodes, data["item"].num_nodes, data["tag"].num_nodes = 64, 32, 4
    data["user", "likes", "item"].edge_index = torch.stack([train.user, train.item])
    if tags:
        item = torch.arange(32)
        data["item", "has", "tag"].edge_index = torch.stack([item, item // 8])
    return Graph.from_hetero(data)


MODELS = [LTGNN, LightGCN, NGCF, SGL, SimGCL, XSimGCL, MatrixFactorization]


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_nodes_without_edges_have_no_say(cls):
    """Loss, gradient and vectors are those of users and items alone."""
    whole, alone = graph_of(tags=False), Graph.from_interactions(blocks().train)
    model = cls(64, 32, 8, inputs=Embeddings(whole.num_nodes, 8, std=0.1)).double()
    other = cls(64, 32, 8).double()
    state = {**model.state_dict(), "inputs.weight": model.inputs.weight[:96]}
    other.load_state_dict(state)
    assert model.num_nodes == 100 and other.num_nodes == 96
    losses = []
    for each, graph in ((model.eval(), whole), (other.eval(), alone)):
        torch.manual_seed(1)
        batch = next(iter(PairLoader(graph, batch_size=64, num_rounds=1)))
        if cls not in (SGL, SimGCL, XSimGCL):  # Which draw for each node.
            losses.append(each.loss(batch))
            losses[-1].backward()
    torch.testing.assert_close(model.encode(whole)[:96], other.encode(alone))
    for name in ("user", "item"):
        found = getattr(model.scorer(whole).vectors, name)
        torch.testing.assert_close(found, getattr(other.scorer(alone).vectors, name))
    if losses:
        torch.testing.assert_close(*losses)
        grad = model.inputs.weight.grad.to_dense()
        torch.testing.assert_close(grad[:96], other.inputs.weight.grad.to_dense())
        assert not grad[96:].any()


def test_by_hand():
    graph = graph_of()
    model = LTGNN(64, 32, 8, inputs=Embeddings(graph.num_nodes, 8, std=1.0), K=2)
    a, x = graph.matrix.to_dense(), model.inputs.weight.detach()
    assert (a[96:].count_nonzero(1) == 8).all()  # A tag has eight items.
    z = x
    for _ in range(2):
        z = 0.9 * a @ z + 0.1 * x
    torch.testing.assert_close(model.encode(graph).detach(), z)
    vectors = model.scorer(graph).vectors
    unit = torch.nn.functional.normalize(z, dim=1)
    torch.testing.assert_close(torch.cat([vectors.user, vectors.item]), unit[:96])
    model.loss(next(iter(PairLoader(graph, inner_steps=True)))).backward()
    assert model.inputs.weight.grad[96:].any()  # Tags are trained too.


def test_a_table_and_features():
    """The gradient of both parts is that of their sum."""
    graph, c = graph_of(), torch.randn(32, 5)
    parts = [Embeddings(100, 8, std=1.0), Features(c, 100, 8, first=64)]
    model = LightGCN(64, 32, 8, inputs=SumInputs(parts))
    other = LightGCN(
        64, 32, 8, inputs=Embeddings.from_table(model.inputs.table().detach())
    )
    batch = next(iter(PairLoader(graph, batch_size=64)))
    for each in (model, other):
        each.loss(batch).backward()
    grad = other.inputs.weight.grad
    torch.testing.assert_close(parts[0].weight.grad, grad)
    torch.testing.assert_close(parts[1].project.weight.grad, grad[64:96].t() @ c)
    torch.testing.assert_close(parts[1].project.bias.grad, grad[64:96].sum(0))


def test_they_are_given_again_when_read(tmp_path):
    graph = graph_of()
    model = LTGNN(64, 32, 8, inputs=Embeddings(100, 8))
    assert model.settings()["settings"]["inputs"] == {"missing": "Embeddings"}
    assert "inputs" not in LTGNN(64, 32, 8).settings()["settings"]
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="inputs="):
        LTGNN.from_pretrained(tmp_path)
    other = LTGNN.from_pretrained(tmp_path, inputs=Embeddings(100, 8))
    assert torch.equal(other.encode(graph), model.encode(graph))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="'inputs' of 8 columns"):
        LTGNN(64, 32, 8, inputs=Embeddings(100, 9))
    with pytest.raises(ValueError, match="a row for each column"):
        LTGNN(64, 32, 8).encode(graph_of())
