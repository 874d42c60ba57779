"""Training on a graph of more than the interactions: another node type, other edges."""

from dataclasses import replace

import pytest
import torch
from torch_geometric.data import HeteroData

from ltgnn_pyg import LTGNN, Graph, fit
from ltgnn_pyg.graph.edges import Edges
from ltgnn_pyg.inputs import Embeddings
from ltgnn_pyg.nn import LightGCN
from ltgnn_pyg.train.fit import _digest
from tests.toy import blocks

DIM = 16
TAGGED = ("item", "has", "tag")
SETTINGS = {"max_epochs": 2, "metric": "recall@2"}


def hetero(*parts, tags=True):
    """Interactions, and a tag for each block of items."""
    split, data = blocks(), HeteroData()
    size = split.train.num_users, split.train.num_items
    data["user"].num_nodes, data["item"].num_nodes = size
    data["tag"].num_nodes = 4
    pairs = [torch.stack([part.user, part.item]) for part in parts]
    none = torch.empty(2, 0, dtype=torch.long)
    data["user", "likes", "item"].edge_index = torch.cat([none, *pairs], dim=1)
    if tags:
        item = torch.arange(size[1])
        data[TAGGED].edge_index = torch.stack([item, item // 8])
    return data


def build(graph=None, cls=LTGNN, **kwargs):
    torch.manual_seed(3)
    num_nodes = 96 if graph is None else graph.num_nodes
    torch.manual_seed(4)
    table = 0.1 * torch.randn(100, DIM)
    inputs = Embeddings(num_nodes, DIM)
    inputs.fill(table)
    return cls(64, 32, DIM, inputs=inputs, **kwargs)


def run(graph, split=None, **settings):
    """A run whose draws are alike; the vectors of users and items, and the table."""
    model = build(graph)
    torch.manual_seed(5)
    settings = {**SETTINGS, **settings}
    report = fit(model, blocks() if split is None else split, graph=graph, **settings)
    return report, [report.vectors.user, report.vectors.item, model.inputs.weight]


def assert_bits(one, two):
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b)


def test_edges_of_weight_zero_are_not_there():
    """Nor is what their type is called: to the bit, also with the default start."""
    with_tags = Graph.from_hetero(hetero(), type_weight={TAGGED: 0.0})
    without = Graph.from_hetero(hetero(tags=False))
    assert with_tags.num_edges == without.num_edges + 32
    assert with_tags.num_nodes == without.num_nodes == 100
    _, expected = run(without)
    _, found = run(with_tags)
    assert_bits(found, expected)
    _, other = run(Graph.from_hetero(hetero()))
    assert not torch.equal(other[0], expected[0])


def test_a_type_without_edges():
    data = hetero(tags=False)
    _, expected = run(Graph.from_hetero(data))
    data[TAGGED].edge_index = torch.empty(2, 0, dtype=torch.long)
    _, found = run(Graph.from_hetero(data))
    assert_bits(found, expected)
    graph = Graph.from_hetero(hetero(blocks().test, tags=False))
    _, found = run(replace(graph, edge_types=(*graph.edge_types, TAGGED)))
    assert_bits(found, expected)


def test_nodes_without_edges_change_nothing():
    """Users and items are to the bit what they are on the graph of interactions."""
    _, expected = run(None, init=None)
    without = Graph.from_hetero(hetero(tags=False))
    _, found = run(without, init=None)
    assert_bits(found[:2], expected[:2])
    assert torch.equal(found[2][:96], expected[2])
    assert torch.equal(found[2][96:], build(without).inputs.weight[96:])


def test_the_graph_by_hand():
    """The interactions of the split and all edges of other types, in one matrix."""
    split = blocks()
    report, _ = run(Graph.from_hetero(hetero()))
    adj = torch.zeros(100, 100, dtype=torch.double)
    known = split.known
    adj[known.user, 64 + known.item] = 1.0
    item = torch.arange(32)
    adj[64 + item, 96 + item // 8] = 1.0
    adj += adj.t().clone()
    scale = adj.sum(1).rsqrt()
    expected = scale[:, None] * adj * scale
    found = report.graph.matrix.to_dense().double()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert report.graph.edge_types == (("user", "likes", "item"), TAGGED)
    assert torch.equal(report.graph.target_edges, report.graph.pairs(known))
    assert report.scorer.item_degree.equal(
        torch.bincount(known.item, minlength=32).float()
    )


@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("edge_weight", [None, lambda pairs: 1.0 + pairs.item % 3])
def test_what_is_held_out_is_never_looked_at(tags, edge_weight):
    """Neither the test pairs nor those of validation are, if the graph has them."""
    split = blocks()
    parts = [], [split.train], [split.train, split.val, split.test], [split.test]
    graphs = [Graph.from_hetero(hetero(*each, tags=tags)) for each in parts]
    assert [graph.target_edges.size(1) for graph in graphs] == [0, 384, 512, 64]
    expected, tensors = run(graphs[0], edge_weight=edge_weight)
    for graph in graphs[1:]:
        report, found = run(graph, edge_weight=edge_weight)
        assert_bits(found, tensors)
        assert report.validation == expected.validation
        assert report.graph.num_edges == expected.graph.num_edges


def test_other_edges_between_users_and_items_stay():
    """They are of another type: only the one that is recommended is replaced."""
    graph = Graph.from_interactions(blocks().train)
    viewed = ("user", "views", "item")
    index = torch.tensor([[0, 1], [64, 70]])
    more = graph.append(edges=Edges(index), edge_type=viewed)
    report, found = run(more)
    assert torch.equal(report.graph.edges.of_type(1).index, index)
    assert report.graph.num_edges == len(blocks().known) + 2
    _, expected = run(None)
    assert not torch.equal(found[0], expected[0])


def test_a_killed_run_goes_on_over_the_same_graph(tmp_path):
    graph = Graph.from_hetero(hetero())

    def stop(row, step):
        raise KeyboardInterrupt

    _, expected = run(graph, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(graph, folder=tmp_path / "cut", log=stop)
    _, found = run(graph, folder=tmp_path / "cut", resume=True)
    assert_bits(found, expected)
    other = Graph.from_hetero(hetero(tags=False))
    with pytest.raises(ValueError, match="the settings of the run"):
        run(other, folder=tmp_path / "whole", resume=True)


def test_a_model_of_other_layers_is_fitted():
    graph = Graph.from_hetero(hetero())
    model = build(graph, cls=LightGCN, num_layers=2)
    report = fit(model, blocks(), graph=graph, **SETTINGS)
    assert report.vectors.user.size() == (64, DIM)
    assert report.vectors.item.size() == (32, DIM)


def test_a_graph_that_does_not_fit_is_refused():
    graph = Graph.from_hetero(hetero())
    with pytest.raises(ValueError, match=r"64 users and 33 items \(got 64 and 32\)"):
        fit(build(graph), blocks(), graph=graph.append({"item": 1}), **SETTINGS)
    with pytest.raises(ValueError, match="a row for each"):
        fit(LTGNN(64, 32, DIM), blocks(), graph=graph, **SETTINGS)


def test_a_run_does_not_go_on_with_other_types():
    """Their weights, and the behaviours of the pairs, are among its settings."""
    split, graph = blocks(), Graph.from_hetero(hetero())
    digests = [_digest(split, None), _digest(split, graph)]
    weighed = Graph.from_hetero(hetero(), type_weight={TAGGED: 0.5})
    digests += [_digest(split, weighed), _digest(split, graph.append({"item": 1}))]
    for shift in (0, 1):
        parts = {}
        for name in ("train", "val", "test"):
            part = getattr(split, name)
            kind = (torch.arange(len(part)) + shift) % 2
            parts[name] = replace(part, behavior=kind, behaviors=("view", "buy"))
        digests.append(_digest(replace(split, **parts), None))
    assert len(set(digests)) == len(digests)
