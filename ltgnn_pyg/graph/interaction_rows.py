from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ltgnn_pyg.graph.csr_operator import CSROperator
from ltgnn_pyg.graph.from_pyg import ITEM, USER
from ltgnn_pyg.graph.operator import Operator

if TYPE_CHECKING:
    from ltgnn_pyg.graph.graph import Graph


def interaction_rows(graph: Graph, operator: Operator | None) -> CSROperator:
    """The matrix of :attr:`Graph.rows`.

    Args:
        graph (Graph): The graph.
        operator (Operator, optional): Its matrix, if it was made already, which is
            sorted.
    """
    num_users, num_items = graph.num_users, graph.num_items
    runs = ((USER, num_users), (ITEM, num_items))
    is_plain = graph.numbering.runs == runs and graph.edges.type is None
    is_whole = 0.0 not in graph.type_weight.values()
    if is_plain and is_whole and isinstance(operator, CSROperator):
        rowptr = operator.rowptr[: num_users + 1]
        col = operator.col[: int(rowptr[-1])] - num_users
        ones = torch.ones(col.numel(), device=col.device)
        return CSROperator(rowptr, col, ones, num_items)
    user, item = graph.target_edges
    index = graph.index(USER, user), graph.index(ITEM, item)
    return CSROperator.from_coo(*index, num_users, num_items)
