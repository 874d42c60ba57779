"""Graphs from and to PyG's data, against dense matrices."""

import pytest
import torch
from torch_geometric.transforms import AddSelfLoops

from ltgnn_pyg.graph import Edges, Graph
from tests.graphs import (
    BUYS,
    FOLLOWS,
    HAS,
    SIZES,
    close,
    dense,
    hetero,
    parts_of,
    read,
    same,
)


def test_from_hetero():
    data = hetero()
    graph = read(data)
    assert graph.numbering.runs == (("user", 4), ("item", 5), ("tag", 3))
    assert graph.edge_types == (BUYS, HAS, FOLLOWS)
    assert (graph.num_users, graph.num_items, graph.num_nodes) == (4, 5, 12)
    assert graph.num_edges == 27  # The reverse type is left out.
    close(graph.matrix, dense(parts_of(data)))
    assert graph.matrix.is_symmetric
    buys = data["customer", "buys", "book"]
    assert torch.equal(graph.target_edges, buys.edge_index + torch.tensor([[0], [4]]))
    always = torch.iinfo(torch.long).min
    times = [*range(9), *[always] * 9, *range(9, 18)]
    assert graph.edges.time.tolist() == times
    assert torch.equal(graph.edges.weight[:9], buys.edge_weight)
    assert (graph.edges.weight[9:] == 1).all()


def test_type_weight():
    data = hetero()
    kinds = data.edge_types[:3]
    for values in ((2.0, 0.5, 1.0), (1.0, 0.0, 3.0), (0.0, 1.0, 0.0)):
        factor = dict(zip(kinds, values, strict=True))
        graph = read(data, type_weight=factor)
        close(graph.matrix, dense(parts_of(data, factor)))
        expected = torch.zeros(5)
        buys = data["customer", "buys", "book"]
        expected.index_add_(0, buys.edge_index[1], values[0] * buys.edge_weight)
        torch.testing.assert_close(graph.item_degree, expected)
        assert graph.matrix.value.count_nonzero() == graph.matrix.value.numel()


@pytest.mark.parametrize("kept", [[], [("book", "has", "tag")]])
def test_some_edge_types(kept):
    data = hetero()
    graph = read(data, edge_types=kept)
    for kind in data.edge_types[1:]:
        if kind not in kept:
            del data[kind]
    same(graph, read(data))


def test_hetero_round_trip():
    graph = read(hetero())
    data = graph.to_hetero()
    assert set(data.node_types) == {"customer", "book", "tag"}
    assert [kind[1] for kind in data.edge_types] == ["buys", "has", "follows"]
    assert {name: data[name].num_nodes for name in SIZES} == SIZES
    again = read(data)
    same(again, graph)
    assert again.edges.time.tolist() == graph.edges.time.tolist()


def test_hetero_round_trip_of_a_graph_that_grew():
    """Other numbers, for type by type they start anew, and the same graph."""
    graph = read(hetero())
    grown = graph.append({"item": 1, "user": 2, "shop": 2, "tag": 1})
    index = torch.stack(
        [
            grown.number("user", torch.tensor([5, 1, 4])),
            grown.number("item", torch.tensor([0, 5, 5])),
        ]
    )
    grown = grown.append(edges=Edges(index, time=torch.tensor([30, 31, 32])))
    sells = torch.stack(
        [
            grown.number("shop", torch.tensor([1, 0])),
            grown.number("item", torch.tensor([5, 2])),
        ]
    )
    grown = grown.append(edges=Edges(sells), edge_type=("shop", "sells", "item"))
    data = grown.to_hetero()
    assert data["customer", "buys", "book"].edge_index[:, -3:].tolist() == [
        [5, 1, 4],
        [0, 5, 5],
    ]
    assert data["shop", "sells", "book"].edge_index.tolist() == [[1, 0], [5, 2]]
    again = read(data)
    order = torch.cat(
        [
            torch.arange(grown.num_nodes)[grown.nodes(name)]
            for name in again.numbering.node_types
        ]
    )
    expected = grown.matrix.to_dense()[order][:, order]
    torch.testing.assert_close(again.matrix.to_dense(), expected)


def test_hetero_refusals():
    data = hetero()
    with pytest.raises(ValueError, match=r"node types \['user', 'item'\]"):
        Graph.from_hetero(data)
    with pytest.raises(ValueError, match="Expected edge types among"):
        read(data, edge_type=("customer", "sells", "book"))
    with pytest.raises(ValueError, match="Expected edge types among"):
        read(data, edge_types=[("book", "of", "tag")])
    with pytest.raises(ValueError, match="from 'customer' to 'book'"):
        read(data, edge_type=("book", "has", "tag"))
    with pytest.raises(ValueError, match="weights of at least 0 for edge types"):
        read(data, type_weight={("book", "of", "tag"): 1.0})
    views = data["customer", "views", "book"]
    views.edge_index = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match="name the one that is recommended"):
        read(data)
    found = read(data, edge_type=("customer", "views", "book"))
    assert found.edge_types[0] == ("user", "views", "item")
    assert found.target_edges.tolist() == [[0], [5]]
    del data["customer", "buys", "book"], data["customer", "views", "book"]
    with pytest.raises(ValueError, match=r"one edge type .* \(got \[\]\)"):
        read(data)


@pytest.mark.parametrize("bad", [-1, 5])
def test_hetero_index_out_of_range(bad):
    data = hetero()
    data["customer", "buys", "book"].edge_index[1, 3] = bad
    with pytest.raises(ValueError, match=r"'item' indices of .* in \[0, 5\)"):
        read(data)


def test_hetero_without_a_number_of_nodes_or_edges():
    data = hetero()
    del data["tag"].num_nodes
    with (
        pytest.warns(UserWarning, match="num_nodes"),
        pytest.raises(ValueError, match=r"nodes of type 'tag' .*; set 'num_nodes'"),
    ):
        read(data)
    data = hetero()
    del data["book", "has", "tag"].edge_index
    data["book", "has", "tag"].mark = 1
    with pytest.raises(ValueError, match="'edge_index' of"):
        read(data)


@pytest.mark.parametrize("form", ["plain", "weights", "loops", "users", "adj_t"])
def test_data_round_trip(graph, form):
    """Each edge once, a loop once, of the same matrix."""
    num = graph.num_edges // 2
    index, weight = graph.edge_index[:, :num], torch.ones(num)
    if form in ("weights", "adj_t"):
        weight = torch.rand(num) + 0.1
        graph.edge_weight = weight.repeat(2)
    more = torch.empty(2, 0, dtype=torch.long)
    if form == "users":  # And items among each other.
        more = torch.tensor([[0, 2, 8], [1, 5, 11]])
        both = torch.cat([more, more.flip(0)], 1)
        graph.edge_index = torch.cat([graph.edge_index, both], 1)
    elif form == "loops":
        more = torch.arange(12).repeat(2, 1)
        graph = AddSelfLoops(attr=None)(graph)
    expected = [(index, weight), (more, torch.ones(more.size(1)))]
    if form == "adj_t":
        size = (12, 12)
        matrix = torch.sparse_coo_tensor(graph.edge_index, graph.edge_weight, size)
        graph.adj_t = matrix.coalesce().to_sparse_csr()
        del graph.edge_index, graph.edge_weight
    whole = Graph.from_data(graph)
    assert whole.num_edges == num + more.size(1)
    close(whole.matrix, dense(expected))
    order = whole.target_edges
    assert sorted(map(tuple, order.t().tolist())) == sorted(
        map(tuple, index.t().tolist())
    )
    again = Graph.from_data(whole.to_data())
    assert again.numbering == whole.numbering
    torch.testing.assert_close(again.matrix.to_dense(), whole.matrix.to_dense())
    # Made of its edges, not taken from the data.
    torch.testing.assert_close(
        whole.append().matrix.to_dense(), whole.matrix.to_dense()
    )


def test_data_of_zero_weights(graph):
    weight = torch.ones(graph.num_edges // 2)
    weight[[2, 5]] = 0.0
    graph.edge_weight = weight.repeat(2)
    whole = Graph.from_data(graph)
    assert whole.num_edges == graph.num_edges // 2 - 2
    assert (whole.edges.weight == 1).all()
    torch.testing.assert_close(
        whole.append().matrix.to_dense(), whole.matrix.to_dense()
    )


def test_data_refusals(graph):
    whole = Graph.from_data(graph)
    assert whole.append({"item": 2}).to_data().num_items == 7
    for num in ({"user": 1}, {"tag": 1}):
        with pytest.raises(ValueError, match="users, then items"):
            whole.append(num).to_data()
    with pytest.raises(ValueError, match="both directions"):
        data = graph.clone()
        data.edge_index = graph.edge_index[:, 1:]
        Graph.from_data(data)
    with pytest.raises(ValueError, match=r"'data\.edge_index' or 'data\.adj_t'"):
        data = graph.clone()
        del data.edge_index
        Graph.from_data(data)
    for num_users in (0, 12, None):
        graph.num_users = num_users
        with pytest.raises(ValueError, match=r"'data\.num_users' between"):
            Graph.from_data(graph)
