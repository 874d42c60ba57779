"""Graphs, against dense matrices over a dictionary of their nodes."""

import pytest
import torch
from torch_geometric.data import HeteroData

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.graph import Edges, Graph, Numbering, Operator, normalized_adj
from tests.graphs import (
    behaviours,
    close,
    dense,
    draw,
    hetero,
    read,
)

# From interactions.


@pytest.mark.parametrize("make", [draw, behaviours])
def test_from_interactions(make):
    some = make()
    graph = Graph.from_interactions(some)
    index = torch.stack([some.user, some.item + 6])
    assert torch.equal(graph.edges.index, index)
    assert torch.equal(graph.pairs(some), index)
    assert torch.equal(graph.edges.time, some.time)
    close(graph.matrix, dense([(index, some.weight)], 11))
    target = slice(None) if some.behavior is None else some.behavior == 0
    assert torch.equal(graph.target_edges, index[:, target])
    if some.behavior is not None:
        kinds = (("user", "buy", "item"), ("user", "view", "item"))
        assert graph.edge_types == kinds
        graph = Graph.from_interactions(some, type_weight={kinds[1]: 0.25})
        factor = torch.where(some.behavior == 1, 0.25, 1.0)
        close(graph.matrix, dense([(index, some.weight * factor)], 11))


def test_nodes_numbers_and_repr():
    graph = Graph.from_interactions(draw())
    assert graph.nodes("user") == slice(0, 6) and graph.nodes("item") == slice(6, 11)
    assert graph.number("item", torch.tensor([0, 4])).tolist() == [6, 10]
    assert graph.index("item", torch.tensor([6, 10])).tolist() == [0, 4]
    assert repr(graph) == "Graph(user=6, item=5, num_edges=14)"
    grown = graph.append({"user": 1})
    assert grown.nodes("user").tolist() == [0, 1, 2, 3, 4, 5, 11]


def test_rows_and_item_degree():
    some = draw()
    grown = Graph.from_interactions(some).append({"user": 2, "item": 1})
    index = torch.tensor([[7, 0, 7], [5, 5, 0]])  # By type; user 7 is node 12.
    n_id = torch.stack([grown.number("user", index[0]), grown.number("item", index[1])])
    assert n_id.tolist() == [[12, 0, 12], [13, 13, 6]]
    grown = grown.append(edges=Edges(n_id, weight=torch.tensor([2.0, 3.0, 4.0])))
    user, item = torch.cat([torch.stack([some.user, some.item]), index], 1)
    rows = torch.zeros(8, 6).index_put((user, item), torch.tensor(1.0), accumulate=True)
    assert torch.equal(grown.rows.to_dense(), rows)
    assert grown.rows is grown.rows
    weight = torch.cat([some.weight, torch.tensor([2.0, 3.0, 4.0])])
    expected = torch.zeros(6).index_add(0, item, weight)
    torch.testing.assert_close(grown.item_degree, expected)
    twice = grown.append(edges=Edges(n_id))
    assert torch.equal(
        twice.rows.to_dense(),
        rows.index_put(tuple(index), torch.tensor(1.0), accumulate=True),
    )


# Graphs made of others.


def test_without():
    some = draw()
    graph = Graph.from_interactions(some)
    full = graph.matrix.to_dense()
    out = graph.edges.index[:, [0, 3, 7]]
    rest = graph.without(out)
    expected = full.clone()
    expected[out[0], out[1]] = expected[out[1], out[0]] = 0.0
    assert torch.equal(rest.matrix.to_dense(), expected)
    assert torch.equal(rest.matrix.degree, graph.matrix.degree)
    assert torch.equal(graph.matrix.to_dense(), full)  # It does not change.
    assert rest.edges is graph.edges and rest.rows.to_dense().sum() == 14
    assert torch.equal(rest.item_degree, graph.item_degree)


@pytest.mark.parametrize("time", [-1, 0, 3, 100])
def test_before(time):
    some = behaviours()
    graph = Graph.from_interactions(some)
    known = torch.tensor([[2], [9]])
    graph = graph.append(edges=Edges(known), edge_type=("user", "likes", "item"))
    found, mask = graph.before(time), some.time < time
    index = torch.stack([some.user, some.item + 6])
    assert torch.equal(found.edges.index, torch.cat([index[:, mask], known], 1))
    assert torch.equal(found.target_edges, index[:, mask & (some.behavior == 0)])
    assert found.numbering == graph.numbering and found.edge_types == graph.edge_types
    parts = [(index[:, mask], some.weight[mask]), (known, torch.ones(1))]
    close(found.matrix, dense(parts, 11))
    some.time = None
    with pytest.raises(ValueError, match="edges with times"):
        Graph.from_interactions(some).before(time)


def test_with_interactions_of_the_type_that_is_recommended():
    """The edges of other types stay, and no old ones of this type."""
    graph = read(hetero())
    some = draw(4, 5, 7)
    found = graph.with_interactions(some)
    assert found.edge_types == graph.edge_types
    index = torch.stack([some.user, some.item + 4])
    assert torch.equal(found.target_edges, index)
    for code in (1, 2):
        old, new = graph.edges.of_type(code), found.edges.of_type(code)
        for name in ("index", "weight", "time"):
            assert torch.equal(getattr(new, name), getattr(old, name))
    rest = graph.edges[graph.edges.type > 0]
    parts = [(index, some.weight), (rest.index, rest.weight)]
    close(found.matrix, dense(parts))
    again = found.with_interactions(draw(4, 5, 7))
    assert again.num_edges == found.num_edges


def test_with_interactions_of_several_behaviours():
    """Whichever order they come in, the one that the graph recommends stays."""
    first = behaviours()
    graph = Graph.from_interactions(first)
    likes = Edges(torch.tensor([[2], [9]]), weight=torch.tensor([3.0]))
    graph = graph.append(edges=likes, edge_type=("user", "likes", "item"))
    view, buy, like = (("user", name, "item") for name in ("view", "buy", "likes"))
    other = draw(num=8, behavior=torch.arange(8) % 2, behaviors=("view", "buy"))
    found = graph.with_interactions(other)
    assert found.edge_types == (buy, view, like) == graph.edge_types
    index = torch.stack([other.user, other.item + 6])
    assert torch.equal(found.target_edges, index[:, other.behavior == 1])
    assert torch.equal(found.edges.of_type(1).index, index[:, other.behavior == 0])
    assert torch.equal(found.edges.of_type(2).index, likes.index)
    parts = [(index, other.weight), (likes.index, likes.weight)]
    close(found.matrix, dense(parts, 11))


def test_with_interactions_of_a_graph_without_codes():
    """A graph whose second type has no edge yet."""
    some = draw()
    kinds = (("user", "interacts", "item"), ("user", "likes", "item"))
    numbering = Numbering.of({"user": 6, "item": 5})
    graph = Graph(numbering, Edges(torch.tensor([[0], [6]])), kinds)
    found = graph.with_interactions(some)
    assert torch.equal(found.edges.index, graph.pairs(some))
    with pytest.raises(ValueError, match=r"6 users and 5 items \(got 7 and 5\)"):
        graph.with_interactions(draw(7, 5))


def test_with_interactions_of_a_graph_that_grew():
    grown = Graph.from_interactions(draw()).append({"user": 2, "item": 1})
    some = draw(8, 6, 20)
    found = grown.with_interactions(some)
    assert found.numbering == grown.numbering
    assert torch.equal(found.target_edges, grown.pairs(some))
    user, item = torch.arange(6).tolist(), [*range(6, 11), 13]
    user += [11, 12]
    pairs = [[user[u] for u in some.user], [item[i] for i in some.item]]
    assert found.target_edges.tolist() == pairs


def test_to(device):
    graph = Graph.from_interactions(draw())
    for moved in (graph.to(device), graph.to(device).to("cpu")):
        assert moved._operator is None  # Nothing was made yet.
    matrix, rows = graph.matrix, graph.rows
    graph.item_graphs[3] = torch.ones(5, 3), torch.ones(5, 3)
    moved = graph.without(graph.edges.index[:, :3]).to(device)
    assert moved.device == moved.matrix.device == moved.rows.device == device
    rest = matrix.without(graph.edges.index[:, :3])
    assert torch.equal(moved.matrix.to_dense().cpu(), rest.to_dense())
    assert torch.equal(moved.matrix.degree.cpu(), matrix.degree)
    assert torch.equal(moved.rows.to_dense().cpu(), rows.to_dense())
    assert all(each.device == device for each in moved.item_graphs[3])
    assert moved.target_edges.device == moved.item_degree.device == device
    grown = moved.append({"user": 1, "item": 1, "tag": 1}).append({"user": 1})
    assert grown.nodes("user").device == device
    number = grown.number("user", torch.tensor([7, 0], device=device))
    assert number.device == device and number.tolist() == [14, 0]


def test_with_operator_and_matrix():
    class Shared(Operator):
        """A matrix that no process holds whole."""

        num_rows = num_cols = 11
        device = adjoint = product = without = None

    graph = Graph.from_interactions(draw())
    half = graph.matrix.with_value(graph.matrix.value / 2)
    other = graph.with_operator(half)
    assert other.operator is other.matrix is half and graph.matrix is not half
    assert other.edges is graph.edges
    other = graph.with_operator(Shared())
    assert isinstance(other.operator, Shared)
    with pytest.raises(ValueError, match=r"whole matrix of a graph \(got a Shared"):
        _ = other.matrix


# Growing.


@pytest.mark.parametrize("seed", range(20))
def test_append_against_a_dense_matrix(seed):
    """Random histories of nodes and edges of old and new types."""
    torch.manual_seed(seed)
    num = {"user": 3, "item": 4}
    pairs = torch.stack([torch.randint(3, (5,)), 3 + torch.randint(4, (5,))])
    graph = Graph(Numbering.of(num), Edges(pairs))
    parts, node_type = [(pairs, torch.ones(5))], ["user"] * 3 + ["item"] * 4
    kinds = [
        ("user", "interacts", "item"),
        ("item", "has", "tag"),
        ("user", "follows", "user"),
        ("tag", "below", "tag"),
    ]
    by_kind = {kinds[0]: [pairs]}
    for _ in range(6):
        more = {name: int(torch.randint(3, ())) for name in ("tag", "user", "item")}
        for name, count in more.items():
            node_type += [name] * count
        old, graph = graph, graph.append(more)
        for name in old.numbering.node_types:
            index = torch.arange(old.numbering.count(name))
            assert torch.equal(old.number(name, index), graph.number(name, index))
        kind = kinds[int(torch.randint(4, ()))]
        nodes = [
            torch.tensor([n for n, t in enumerate(node_type) if t == end]).long()
            for end in (kind[0], kind[2])
        ]
        if min(map(len, nodes)) > 0:
            index = torch.stack([end[torch.randint(len(end), (4,))] for end in nodes])
            weight = torch.rand(4) + 0.1 if torch.rand(()) < 0.5 else None
            graph = graph.append(edges=Edges(index, weight=weight), edge_type=kind)
            parts.append((index, torch.ones(4) if weight is None else weight))
            by_kind.setdefault(kind, []).append(index)
        assert graph.num_nodes == len(node_type)
        close(graph.matrix, dense(parts, len(node_type)))
        for code, name in enumerate(graph.edge_types):
            expected = torch.cat(by_kind[name], 1)
            assert torch.equal(graph.edges.of_type(code).index, expected)
        assert torch.equal(
            normalized_adj(*graph.coo(), graph.num_nodes).to_dense(),
            graph.matrix.to_dense(),
        )


def test_append_keeps_the_old_graph():
    graph = Graph.from_interactions(draw())
    before = graph.matrix.to_dense().clone()
    grown = graph.append({"user": 1}, Edges(torch.tensor([[11], [7]])))
    assert graph.num_nodes == 11 and grown.num_nodes == 12
    assert torch.equal(graph.matrix.to_dense(), before)
    assert grown.matrix.to_dense()[11, 7] > 0


def test_refusals():
    numbering = Numbering.of({"user": 2, "item": 2})
    graph = Graph(numbering, Edges(torch.tensor([[0], [2]])))
    for index in ([[0], [4]], [[-1], [2]]):
        with pytest.raises(ValueError, match=r"indices in \[0, num_nodes=4\)"):
            graph.append(edges=Edges(torch.tensor(index)))
    for index in ([[2], [0]], [[0], [1]]):
        with pytest.raises(ValueError, match="from users to items"):
            Graph(numbering, Edges(torch.tensor(index)))
    with pytest.raises(ValueError, match="numbers of nodes"):
        graph.append({"user": -1})
    kind = ("user", "interacts", "item")
    for weight in (-1.0, torch.inf, torch.nan):
        with pytest.raises(ValueError, match="finite weights of at least 0"):
            Graph(numbering, graph.edges, type_weight={kind: weight})
    with pytest.raises(ValueError, match=r"among \('user',\) \(got 'item'\)"):
        Graph(Numbering.of({"user": 2}), Edges(torch.empty(2, 0).long()))


def test_the_behaviour_that_is_recommended_is_named():
    given = Interactions(
        torch.tensor([0, 1, 0]),
        torch.tensor([1, 0, 0]),
        2,
        2,
        behavior=torch.tensor([0, 1, 1]),
        behaviors=("view", "buy"),
    )
    first = Graph.from_interactions(given)
    assert [kind[1] for kind in first.edge_types] == ["view", "buy"]
    graph = Graph.from_interactions(given, target="buy")
    assert [kind[1] for kind in graph.edge_types] == ["buy", "view"]
    assert graph.target_edges.tolist() == [[1, 0], [2, 2]]
    assert torch.equal(graph.operator.to_dense(), first.operator.to_dense())
    again = graph.with_interactions(given)  # Its target stays.
    assert again.edge_types == graph.edge_types
    assert torch.equal(again.edges.codes, graph.edges.codes)
    with pytest.raises(ValueError, match="'target'"):
        Graph.from_interactions(given, target="like")


def test_types_go_by_the_names_of_the_data():
    data = HeteroData()
    data["reader"].num_nodes, data["book"].num_nodes = 2, 3
    data["reader", "reads", "book"].edge_index = torch.tensor([[0, 1], [2, 0]])
    graph = Graph.from_hetero(data, user="reader", item="book")
    assert graph.nodes("book") == graph.nodes("item") == slice(2, 5)
    index = torch.tensor([1])
    assert torch.equal(graph.number("book", index), graph.number("item", index))
    assert graph.index("reader", index).tolist() == [1]


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_rows_are_the_same_before_and_after_the_operator(weight, graph):
    """Also of edges that the operator leaves out: both ways to make them agree."""
    kind = ("user", "interacts", "item")
    some = draw()
    expected = torch.zeros(6, 5).index_put((some.user, some.item), torch.tensor(1.0))
    for first in ("rows", "operator"):
        found = Graph.from_interactions(some, type_weight={kind: weight})
        getattr(found, first)
        assert torch.equal(found.rows.to_dense(), expected)
    graph.edge_weight = torch.ones(graph.num_edges // 2).repeat(2)
    graph.edge_weight[[2, 2 + graph.num_edges // 2]] = weight
    found = Graph.from_data(graph)
    assert found.rows.col.numel() == found.num_edges
    assert torch.equal(found.rows.to_dense(), found.append().rows.to_dense())


def test_with_interactions_of_other_names_leaves_no_target_behind():
    """The edges that were recommended may be the held-out ones."""
    graph = read(hetero(), type_weight={("customer", "buys", "book"): 0.5})
    few = draw(4, 5, 6, behavior=torch.arange(6) % 2, behaviors=("view", "like"))
    found = graph.with_interactions(few)
    kinds = [("user", name, "item") for name in ("view", "like")]
    assert found.edge_types == (*kinds, *graph.edge_types[1:])
    assert found.type_weight == {}
    assert found.num_edges == 6 + (graph.edges.type > 0).sum()
    for code, old in ((2, 1), (3, 2)):
        one, other = found.edges.of_type(code), graph.edges.of_type(old)
        assert torch.equal(one.index, other.index)
    alone = Graph.from_interactions(draw(4, 5, 9)).with_interactions(few)
    assert alone.edge_types == tuple(kinds) and alone.num_edges == 6


def test_edges_of_every_type_lead_where_it_says():
    graph = Graph.from_interactions(draw()).append({"tag": 2})
    tag, item = 11, 6
    has = ("item", "has", "tag")
    right = graph.append(edges=Edges(torch.tensor([[item], [tag]])), edge_type=has)
    assert right.to_hetero()[has].edge_index.tolist() == [[0], [0]]
    with pytest.raises(ValueError, match="to lead from items to tags"):
        graph.append(edges=Edges(torch.tensor([[tag], [item]])), edge_type=has)
    with pytest.raises(ValueError, match="got 'brand'"):
        edges = Edges(torch.tensor([[item], [tag]]))
        graph.append(edges=edges, edge_type=("item", "of", "brand"))
