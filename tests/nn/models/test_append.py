"""Nodes that come later: what was trained stays, and what is new is trained on."""

import copy

import pytest
import torch

from ltgnn_pyg import LTGNN, Graph, PairLoader, VRNeighborLoader
from ltgnn_pyg.graph.edges import Edges
from ltgnn_pyg.inputs import RowAdam
from ltgnn_pyg.nn import EGCF, LightGCN, MatrixFactorization, PinSage
from tests.dense import dense_adj
from tests.toy import MODELS, ThreeLayers, blocks

#: Those whose inputs take any new node: a row for each.
APPENDED = [cls for cls in MODELS if cls is not EGCF]


def step(model, optimizer, graph):
    for batch in PairLoader(graph, batch_size=64, num_rounds=3):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()


def grown(graph):
    """A user and two items more, with edges of theirs and to old ones."""
    graph = graph.append({"user": 1, "item": 2})
    user, item = torch.tensor([64, 64, 3]), torch.tensor([32, 5, 33])
    index = torch.stack([graph.number("user", user), graph.number("item", item)])
    return graph.append(edges=Edges(index))


def encoded(model, graph):
    torch.manual_seed(1)  # Some models draw.
    with torch.no_grad():
        return model.eval().encode(graph)


@pytest.mark.parametrize("cls", APPENDED, ids=lambda cls: cls.__name__)
def test_what_is_there_stays(cls):
    """Nodes without an edge change no row, and have zeros for inputs."""
    graph = Graph.from_interactions(blocks().train)
    model = cls(64, 32, 8)
    optimizer = RowAdam(model.parameters(), lr=0.01)
    step(model, optimizer, graph)
    table, parameter = model.inputs.weight.detach().clone(), model.inputs.weight
    before = encoded(model, graph)
    more = graph.append({"user": 1, "item": 2})
    model.append(more)
    assert model.inputs.weight is parameter
    assert (model.num_users, model.num_items, model.num_nodes) == (65, 34, 99)
    assert torch.equal(model.inputs.table()[:96], table)
    assert not model.inputs.table()[96:].any()
    after = encoded(model, more)
    if cls is not PinSage:  # Whose walks are drawn for all nodes.
        torch.testing.assert_close(after[:96], before)
    model.train()
    step(model, optimizer, grown(graph))
    assert model.inputs.weight[96:].ne(0.0).any()
    vectors = model.scorer(grown(graph)).vectors
    assert (vectors.num_users, vectors.num_items) == (65, 34)


@pytest.mark.parametrize("cls", [LTGNN, LightGCN, MatrixFactorization, ThreeLayers])
def test_an_optimizer_goes_on(cls):
    """As one that had rows of zeros for the new nodes from the start."""
    graph = Graph.from_interactions(blocks().train)
    model = cls(64, 32, 8)
    whole = copy.deepcopy(model)
    whole.append(graph.append({"user": 1, "item": 2}))
    optimizers = [RowAdam(m.parameters(), lr=0.01) for m in (model, whole)]
    torch.manual_seed(2)
    step(model, optimizers[0], graph)
    torch.manual_seed(2)
    step(whole, optimizers[1], graph.append({"user": 1, "item": 2}))
    model.append(grown(graph))
    torch.testing.assert_close(model.inputs.weight, whole.inputs.weight)
    whole.load_state_dict(model.state_dict())
    for one, optimizer in zip((model, whole), optimizers, strict=True):
        torch.manual_seed(3)
        step(one, optimizer, grown(graph))
    torch.testing.assert_close(model.inputs.weight, whole.inputs.weight)


def test_by_hand():
    """K steps over the dense matrix of old and new edges."""
    graph = Graph.from_interactions(blocks().train)
    model = LTGNN(64, 32, 8, alpha=0.3, init_std=1.0)
    x = torch.cat([model.inputs.weight.detach(), torch.zeros(3, 8)]).double()
    more = grown(graph)
    model.append(more)
    index = more.edges.index
    assert index[:, -3:].tolist() == [[96, 96, 3], [97, 69, 98]]
    adj, z = dense_adj(torch.cat([index, index.flip(0)], 1), 99), x
    for _ in range(3):
        z = 0.7 * adj @ z + 0.3 * x
    found = model.encode(more).detach().double()
    torch.testing.assert_close(found, z, atol=1e-6, rtol=1e-5)
    vectors, user = model.scorer(more).vectors, [*range(64), 96]
    unit = torch.nn.functional.normalize(z[user], dim=1)
    torch.testing.assert_close(vectors.user.double(), unit, atol=1e-6, rtol=1e-5)
    model.append(more)  # Of no new nodes.
    assert torch.equal(model.encode(more).double(), found)


def test_the_history_goes_on():
    graph = Graph.from_interactions(blocks().train)
    model = LTGNN(64, 32, 8, alpha=0.3, K=None, init_std=0.1)
    for batch in VRNeighborLoader(graph, model, 3, batch_size=64):
        model.loss(batch).backward()
    before, more = model.history.output(), grown(graph)
    with pytest.raises(ValueError, match="append"):
        VRNeighborLoader(more, model, 3)
    model.append(more)
    assert torch.equal(model.history.output()[:96], before)
    assert not model.history.output()[96:].any()
    model.zero_grad()
    for batch in VRNeighborLoader(more, model, 3, batch_size=64):
        model.loss(batch).backward()
    assert model.history.output()[96:].ne(0.0).any()
    expected = dense_adj(torch.cat([more.edges.index, more.edges.index.flip(0)], 1), 99)
    reference = model.history.reference.double()
    torch.testing.assert_close(
        model.history.aggregate.double(), expected @ reference, atol=1e-6, rtol=1e-5
    )


def test_items_of_egcf():
    """Only items have rows that are trained, also of new nodes."""
    graph = Graph.from_interactions(blocks().train)
    model = EGCF(64, 32, 8, num_layers=2, init_std=1.0)
    before = model.inputs.weight.detach().clone()
    more = graph.append({"user": 1, "item": 2})
    z = encoded(model, graph)
    model.append(more)
    assert torch.equal(model.inputs.weight[:32], before)
    torch.testing.assert_close(encoded(model, more)[:96], z)
    more = grown(graph)
    step(model.train(), RowAdam(model.parameters(), lr=0.01), more)
    assert not model.inputs.table()[[*range(64), 96]].any()
    assert model.inputs.table()[[*range(64, 96), 97, 98]].ne(0.0).any(1).all()
    index, h = more.edges.index, model.inputs.table().detach().double()
    adj = dense_adj(torch.cat([index, index.flip(0)], 1), 99)
    user = torch.tensor([*range(64), 96])
    h[user] = (adj[user] @ h).tanh()
    one = (adj @ h).tanh()
    expected = one + (adj @ one).tanh()
    found = encoded(model, more).double()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("cls", [LTGNN, EGCF], ids=lambda cls: cls.__name__)
def test_fewer_nodes_are_refused(cls):
    graph = Graph.from_interactions(blocks().train)
    model = cls(64, 32, 8)
    model.append(graph.append({"item": 2}))
    with pytest.raises(ValueError, match="98 nodes at least"):
        model.append(graph)
    assert model.num_nodes == 98
    if cls is LTGNN:
        assert model.history.num_nodes == 98
