"""Edge dropout: some entries of a matrix, and what makes up for the others."""

import torch
from torch import Tensor

from ltgnn_pyg.graph.adjacency import csr, reverse_entries, set_adjoint


def drop_edges(adj_t: Tensor, p: float) -> Tensor:
    r"""Sets entries of a matrix to zero at random, and scales up those that stay.

    .. math::
        \tilde{A}_{ij} = \frac{m_{ij}}{1 - p} \hat{A}_{ij}, \qquad
        m_{ij} \sim \mathrm{Bernoulli}(1 - p)

    Its mean is :math:`\hat{A}`. The two directions of an edge are drawn apart, and
    nothing is normalised anew, as in the reference code of `LightGCN
    <https://arxiv.org/abs/2002.02126>`_. What is drawn comes from torch's global
    generator. The matrix knows its transpose, so the gradient of
    :func:`~ltgnn_pyg.graph.adjacency.propagate` is exact.

    Args:
        adj_t (torch.Tensor): :math:`\hat{A}`, symmetric, as sparse CSR.
        p (float): The share of the entries to drop, in :math:`[0, 1)`.

    Raises:
        ValueError: If :obj:`p` is out of its range, or the matrix not symmetric.

    *Cost:* O(E) time, and the values twice; O(E log E) once a graph.
    """
    if not 0.0 <= p < 1.0:
        raise ValueError(f"Expected 'p' in [0, 1) (got {p})")
    reverse = reverse_entries(adj_t)
    rowptr, col, value = adj_t.crow_indices(), adj_t.col_indices(), adj_t.values()
    kept = torch.rand(value.numel(), device=value.device) >= p
    value = value * kept / (1.0 - p)
    out = csr(rowptr, col, value, adj_t.size(1))
    set_adjoint(out, csr(rowptr, col, value[reverse], adj_t.size(1)))
    return out
