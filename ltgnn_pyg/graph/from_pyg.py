"""Graphs as PyG has them, read into one numbering."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.storage import EdgeStorage
from torch_geometric.typing import EdgeType

from ltgnn_pyg.graph.csr_operator import CSROperator
from ltgnn_pyg.graph.edges import Edges
from ltgnn_pyg.graph.normalize import normalized_adj, to_coo
from ltgnn_pyg.graph.numbering import Numbering

USER, ITEM = "user", "item"
INTERACTS: EdgeType = (USER, "interacts", ITEM)  #: The type that is recommended.
LINKS = ((USER, "links", USER), (ITEM, "links", ITEM))


def read_data(
    data: Data,
) -> tuple[Numbering, Edges, tuple[EdgeType, ...], CSROperator]:
    """The numbering, the edges, their types and the matrix of homogeneous data, see
    :meth:`Graph.from_data`.

    Raises:
        ValueError: If something is missing, or an edge lacks its other direction.
    """
    num_nodes, num_users = data.num_nodes, data.get("num_users")
    if num_users is None or num_nodes is None or not 0 < num_users < num_nodes:
        raise ValueError(
            f"Expected 'data.num_users' between 0 and 'data.num_nodes' (got "
            f"{num_users} of {num_nodes}); set both"
        )
    edge_index, weight = coo_of(data)
    if weight is not None and bool((weight == 0).any()):
        edge_index, weight = edge_index[:, weight != 0], weight[weight != 0]
    operator = normalized_adj(edge_index, weight, num_nodes)
    if not operator.is_symmetric:
        raise ValueError(
            "Expected both directions of each edge, of the same weight (got edges "
            "whose reverse is missing or weighs otherwise); append "
            "'edge_index.flip(0)' to the edges and their weights to the weights"
        )
    once = edge_index[0] <= edge_index[1]
    index = edge_index[:, once]
    source, target = index
    kind = (source >= num_users).long() * 2  # Among items.
    kind[target < num_users] = 1  # Among users.
    is_plain = not bool(kind.any())
    weight = None if weight is None else weight[once]
    edges = Edges(index, None if is_plain else kind, weight)
    types = (INTERACTS,) if is_plain else (INTERACTS, *LINKS)
    num = {USER: int(num_users), ITEM: int(num_nodes - num_users)}
    return Numbering.of(num), edges, types, operator


def coo_of(data: Data) -> tuple[Tensor, Tensor | None]:
    """The edges of homogeneous data and their weights, in the order they stand there.

    Raises:
        ValueError: If there are none.
    """
    name = "adj_t" if data.get("edge_index") is None else "edge_index"
    if data.get(name) is None:
        raise ValueError("Expected 'data.edge_index' or 'data.adj_t' (got neither)")
    return to_coo(data[name], data.get("edge_weight"))


def read_hetero(
    data: HeteroData,
    names: Mapping[str, str],
    edge_type: EdgeType | None,
    edge_types: list[EdgeType] | None,
) -> tuple[Numbering, Edges, tuple[EdgeType, ...]]:
    """The numbering, the edges and their types of heterogeneous data, see
    :meth:`Graph.from_hetero`.

    Args:
        data (torch_geometric.data.HeteroData): The data.
        names (dict): The types of users and items, and what they are called here.
        edge_type (tuple, optional): The type of edges that is recommended.
        edge_types (list, optional): The other types that are taken.

    Raises:
        ValueError: If a type is not there, or an index is out of range.
    """
    for name in names:
        if name not in data.node_types:
            raise ValueError(
                f"Expected node types {list(names)} (got {data.node_types}); name "
                "those of users and items by 'user' and 'item'"
            )
    ends = tuple(names)
    if edge_type is None:
        found = [t for t in data.edge_types if (t[0], t[2]) == ends]
        if len(found) != 1:
            raise ValueError(
                f"Expected one edge type from '{ends[0]}' to '{ends[1]}' (got "
                f"{found}); name the one that is recommended by 'edge_type'"
            )
        (edge_type,) = found
    if edge_types is None:
        edge_types = [t for t in data.edge_types if not t[1].startswith("rev_")]
    kinds = [edge_type, *(t for t in edge_types if t != edge_type)]
    for kind in kinds:
        if kind not in data.edge_types:
            raise ValueError(
                f"Expected edge types among {data.edge_types} (got {kind}); name one "
                "of them"
            )
    if (edge_type[0], edge_type[2]) != ends:
        raise ValueError(
            f"Expected an edge type from '{ends[0]}' to '{ends[1]}' (got {edge_type})"
        )
    order = [*ends, *(name for name in data.node_types if name not in names)]
    num = {names.get(name, name): data[name].num_nodes for name in order}
    for name, count in num.items():
        if count is None:
            raise ValueError(
                f"Expected the number of nodes of type '{name}' (got none); set "
                "'num_nodes'"
            )
    numbering = Numbering.of(num)
    types = tuple((names.get(s, s), name, names.get(t, t)) for s, name, t in kinds)
    parts = [
        _read_edges(data[kind], own, numbering).with_type(code)
        for code, (kind, own) in enumerate(zip(kinds, types, strict=True))
    ]
    edges = parts[0]
    for part in parts[1:]:
        edges = edges.cat(part)
    return numbering, edges, types


def _read_edges(store: EdgeStorage, kind: EdgeType, numbering: Numbering) -> Edges:
    """The edges of one type, in the numbers of all nodes."""
    given = store.get("edge_index", store.get("adj_t"))
    if given is None:
        raise ValueError(f"Expected 'edge_index' of {kind} (got none); set it")
    index, weight = to_coo(given, store.get("edge_weight"))
    ends: list[Tensor] = []
    for node_type, side in zip((kind[0], kind[2]), index, strict=True):
        count = numbering.count(node_type)
        if side.numel() and not 0 <= side.min() <= side.max() < count:
            raise ValueError(
                f"Expected '{node_type}' indices of {kind} in [0, {count}) (got "
                f"{int(side.min())} to {int(side.max())}); set the right 'num_nodes'"
            )
        ends.append(numbering.number(node_type, side))
    time = store.get("time", store.get("edge_time"))
    return Edges(torch.stack(ends), None, weight, time)
