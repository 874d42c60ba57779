"""Edge dropout: some entries of a matrix, and what makes up for the others."""

import torch

from ltgnn_pyg.graph.csr_operator import CSROperator


def drop_edges(operator: CSROperator, p: float) -> CSROperator:
    r"""Sets entries of a matrix to zero at random, and scales up those that stay.

    .. math::
        \tilde{A}_{ij} = \frac{m_{ij}}{1 - p} \hat{A}_{ij}, \qquad
        m_{ij} \sim \mathrm{Bernoulli}(1 - p)

    Its mean is :math:`\hat{A}`. The two directions of an edge are drawn apart, and
    nothing is normalised anew, as in the reference code of `LightGCN
    <https://arxiv.org/abs/2002.02126>`_. All is drawn from torch's global
    generator. The matrix knows its transpose, so the gradient of
    :func:`~ltgnn_pyg.graph.propagate` is exact.

    Args:
        operator (CSROperator): :math:`\hat{A}`, symmetric.
        p (float): The share of the entries to drop, in :math:`[0, 1)`.

    Raises:
        ValueError: If :obj:`p` is out of its range, or the matrix not symmetric.

    *Cost:* O(E) time, and the values twice; O(E log E) once a graph.
    """
    if not 0.0 <= p < 1.0:
        raise ValueError(f"Expected 'p' in [0, 1) (got {p})")
    reverse, value = operator.reverse, operator.value
    kept = torch.rand(value.numel(), device=value.device) >= p
    value = value * kept / (1.0 - p)
    transpose = operator.with_value(value[reverse])
    return operator.with_value(value, transpose=transpose)
