"""Graphs in the forms that PyG has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Data, HeteroData

from ltgnn_pyg.graph.from_pyg import ITEM, USER

if TYPE_CHECKING:
    from ltgnn_pyg.graph.graph import Graph


def to_hetero(graph: Graph) -> HeteroData:
    """PyG's heterogeneous data of the graph, by the names that it was read with."""
    data = HeteroData()
    for name in graph.numbering.node_types:
        data[graph.names.get(name, name)].num_nodes = graph.numbering.count(name)
    for code, (source, name, target) in enumerate(graph.edge_types):
        edges = graph.edges.of_type(code)
        ends = zip((source, target), edges.index, strict=True)
        store = data[
            graph.names.get(source, source), name, graph.names.get(target, target)
        ]
        store.edge_index = torch.stack([graph.index(*each) for each in ends])
        if edges.weight is not None:
            store.edge_weight = edges.weight
        if edges.time is not None:
            store.time = edges.time
    return data


def to_data(graph: Graph) -> Data:
    """PyG's homogeneous data of the graph, both directions of each edge, with
    :obj:`num_users` and :obj:`num_items`.

    Raises:
        ValueError: If there are other nodes than users, then items.
    """
    first, num = graph.num_users, graph.num_nodes
    spans = graph.numbering.spans(USER) + graph.numbering.spans(ITEM)
    if spans != [(0, first), (first, num)]:
        raise ValueError(
            f"Expected users, then items, and no other nodes (got runs of "
            f"{[name for name, _ in graph.numbering.runs]}); see 'to_hetero'"
        )
    edge_index, weight = graph.coo()
    data = Data(edge_index=edge_index, num_nodes=graph.num_nodes)
    data.num_users, data.num_items = graph.num_users, graph.num_items
    if weight is not None:
        data.edge_weight = weight
    return data
