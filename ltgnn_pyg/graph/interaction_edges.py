from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch_geometric.typing import EdgeType

from ltgnn_pyg.graph.edges import Edges
from ltgnn_pyg.graph.from_pyg import INTERACTS, ITEM, USER
from ltgnn_pyg.graph.numbering import Numbering

if TYPE_CHECKING:
    from ltgnn_pyg.datasets.interactions import Interactions


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
