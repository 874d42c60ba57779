from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch_geometric.typing import EdgeType

from ltgnn_pyg.graph.edges import Edges
from ltgnn_pyg.graph.from_pyg import INTERACTS, ITEM, USER
from ltgnn_pyg.graph.numbering import Numbering

if TYPE_CHECKING:
    from ltgnn_pyg.datasets.interactions import Interactions
    from ltgnn_pyg.graph.graph import Graph


def interaction_edges(
    interactions: Interactions, numbering: Numbering, target: str | None
) -> tuple[Edges, tuple[EdgeType, ...]]:
    """The edges of interactions, and their types, the target's first."""
    user = numbering.number(USER, interactions.user)
    item = numbering.number(ITEM, interactions.item)
    names, code = list(interactions.behaviors), interactions.behavior
    types: tuple[EdgeType, ...] = (INTERACTS,)
    if names and code is not None:
        if target is None:
            target = names[0]
        if target not in names:
            raise ValueError(
                f"Expected 'target' among the behaviours {names} (got {target!r})"
            )
        order = sorted(range(len(names)), key=lambda n: names[n] != target)
        types = tuple((USER, names[n], ITEM) for n in order)
        code = torch.tensor(order, device=code.device).argsort()[code]
    index = torch.stack([user, item])
    return Edges(index, code, interactions.weight, interactions.time), types


def with_interactions(graph: Graph, interactions: Interactions) -> Graph:
    """The graph of :meth:`Graph.with_interactions`."""
    size = interactions.num_users, interactions.num_items
    if size != (graph.num_users, graph.num_items):
        raise ValueError(
            f"Expected interactions of {graph.num_users} users and {graph.num_items} "
            f"items (got {size[0]} and {size[1]}); append the nodes first"
        )
    old = graph.edge_types
    target = old[0][1] if old[0][1] in interactions.behaviors else None
    edges, kinds = interaction_edges(interactions, graph.numbering, target)
    if not interactions.behaviors:
        kinds = old[:1]
    others = [kind for kind in old[1:] if kind not in kinds]
    kinds = (*kinds, *others)
    for kind in others:
        rest = graph.edges.of_type(old.index(kind))
        if len(rest) > 0:
            edges = edges.cat(rest.with_type(kinds.index(kind)))
    weight = {kind: w for kind, w in graph.type_weight.items() if kind in kinds}
    return replace(graph, edges=edges, edge_types=kinds, type_weight=weight)
