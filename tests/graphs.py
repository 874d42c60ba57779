"""Graphs of random edges, and what they are compared with: dense matrices."""

import torch
from torch_geometric.data import HeteroData

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.graph import Graph

BUYS = ("user", "buys", "item")
HAS = ("item", "has", "tag")
FOLLOWS = ("user", "follows", "user")
NAMES = {"customer": "user", "book": "item"}
SIZES = {"tag": 3, "customer": 4, "book": 5}
#: Where each type starts: users and items first.
START = {"customer": 0, "book": 4, "tag": 9}
NUM = 12


def hetero():
    """Data of three node types and three edge types, beside a reverse one."""
    data = HeteroData()
    for name, num in SIZES.items():
        data[name].num_nodes = num
    for source, name, target in (
        ("customer", "buys", "book"),
        ("book", "has", "tag"),
        ("customer", "follows", "customer"),
    ):
        ends = [torch.randint(SIZES[end], (9,)) for end in (source, target)]
        data[source, name, target].edge_index = torch.stack(ends)
    buys = data["customer", "buys", "book"]
    buys.edge_weight, buys.time = torch.rand(9) + 0.1, torch.arange(9)
    data["customer", "follows", "customer"].edge_time = torch.arange(9, 18)
    data["book", "rev_buys", "customer"].edge_index = buys.edge_index.flip(0)
    return data


def read(data, **kwargs):
    return Graph.from_hetero(data, user="customer", item="book", **kwargs)


def dense(parts, num_nodes=NUM):
    """D^-1/2 A D^-1/2 of edges and weights, each edge once, a loop once."""
    adj = torch.zeros(num_nodes, num_nodes, dtype=torch.double)
    for (sources, targets), weights in parts:
        for s, t, w in zip(
            sources.tolist(), targets.tolist(), weights.tolist(), strict=True
        ):
            adj[s, t] += w
            if s != t:
                adj[t, s] += w
    inv_sqrt = adj.sum(1).clamp(min=1e-300).rsqrt().masked_fill(adj.sum(1) == 0, 0.0)
    return inv_sqrt[:, None] * adj * inv_sqrt


def parts_of(data, factor=None):
    """The edges of data in the numbers of the dictionary, and their weights."""
    for kind in data.edge_types:
        if not kind[1].startswith("rev_"):
            store = data[kind]
            index = store.edge_index + torch.tensor(
                [[START[kind[0]]], [START[kind[2]]]]
            )
            weight = store.get("edge_weight")
            weight = torch.ones(index.size(1)) if weight is None else weight
            yield index, weight * (factor or {}).get(kind, 1.0)


def close(operator, expected):
    torch.testing.assert_close(operator.to_dense().double(), expected)


def same(one, two):
    """Graphs of the same nodes, edges and matrix."""
    assert one.numbering == two.numbering and one.edge_types == two.edge_types
    for name in ("index", "type", "weight", "time"):
        a, b = getattr(one.edges, name), getattr(two.edges, name)
        assert (a is None) == (b is None) and (a is None or torch.equal(a, b)), name
    assert torch.equal(one.matrix.to_dense(), two.matrix.to_dense())


def draw(num_users=6, num_items=5, num=14, **kwargs):
    """Interactions, each once, with times and weights."""
    key = torch.randperm(num_users * num_items)[:num]
    return Interactions(
        key // num_items,
        key % num_items,
        num_users,
        num_items,
        time=torch.randint(5, (num,)),
        weight=torch.rand(num) + 0.1,
        **kwargs,
    )


def behaviours(num=14, **kwargs):
    return draw(
        num=num, behavior=torch.arange(num) % 2, behaviors=("buy", "view"), **kwargs
    )
