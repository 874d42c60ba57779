import torch
from torch import Tensor

from ltgnn_pyg.graph.csr_operator import CSROperator


def graph_dropout(
    operator: CSROperator, edge_dropout: float = 0.1, node_dropout: float = 0.0
) -> CSROperator:
    r"""Drops edges or nodes of a symmetric graph at random, and normalises it anew.

    .. math::
        \hat{A}'_{ij} = \frac{m_{ij} A_{ij}}{\sqrt{d'_i d'_j}}, \qquad
        d'_i = d_i \frac{\sum_j m_{ij}}{| \mathcal{N}(i) |}, \qquad
        m_{ij} = m_{ji} \in \{ 0, 1 \}

    so a degree falls by the share of edges that are dropped: without edge weights
    :math:`\hat{A}'` is the normalised adjacency of what is left. An edge is kept with
    probability :math:`1 - \rho`, in both directions or none; with nodes, all of their
    edges are dropped. All is drawn from torch's global generator.

    Args:
        operator (CSROperator): :math:`\hat{A}`, symmetric. Entries of 0 count as
            edges: those that were taken out of a normalised graph.
        edge_dropout (float, optional): :math:`\rho`, the probability of an edge to
            be dropped. (default: :obj:`0.1`)
        node_dropout (float, optional): That of a node. (default: :obj:`0.0`)

    Returns:
        A matrix of the same pattern.

    Raises:
        ValueError: If a probability is not in :math:`[0, 1)`.

    *Cost:* O(E) time and memory.
    """
    if not (0.0 <= edge_dropout < 1.0 and 0.0 <= node_dropout < 1.0):
        raise ValueError(
            "Expected 'edge_dropout' and 'node_dropout' in [0, 1) (got "
            f"{edge_dropout} and {node_dropout})"
        )
    degree, col, row = operator.rowptr.diff(), operator.col, operator.pattern.row
    num_nodes, device = operator.num_rows, col.device
    kept = torch.ones(col.numel(), dtype=torch.bool, device=device)
    if edge_dropout > 0.0:
        # Alike for both directions: a hash of the sum of two random numbers.
        key = torch.randint(-(2**63), 2**63 - 1, (num_nodes,), device=device)
        bits = _mix(key.index_select(0, row).add_(key.index_select(0, col)))
        kept = bits >= int((2 * edge_dropout - 1) * 2**63)
    if node_dropout > 0.0:
        node = torch.rand(num_nodes, device=device) >= node_dropout
        kept &= node.index_select(0, row) & node.index_select(0, col)
    num = torch.zeros(num_nodes, device=device)
    num.index_add_(0, row, kept.to(num.dtype))
    scale = (degree / num).sqrt_().masked_fill_(num == 0, 0.0).to(operator.dtype)
    value = scale.index_select(0, row).mul_(scale.index_select(0, col))
    value.mul_(operator.value).masked_fill_(~kept, 0.0)
    return operator.with_value(value, operator.is_symmetric)


def _mix(x: Tensor) -> Tensor:
    """The finalizer of splitmix64 (https://doi.org/10.1145/2660193.2660195)."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        x = (x ^ _shift(x, shift)).mul_(factor)
    return x ^ _shift(x, 31)


def _shift(x: Tensor, num: int) -> Tensor:
    """Shifts right, filling with zeros."""
    return (x >> num).bitwise_and_((1 << (64 - num)) - 1)
