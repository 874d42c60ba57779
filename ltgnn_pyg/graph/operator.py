"""Propagation matrices, which products take."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Operator(ABC):
    r"""A matrix that tables of rows are multiplied with, such as the normalised
    adjacency :math:`\hat{A}` of a graph: sparse CSR
    (:class:`~ltgnn_pyg.graph.CSROperator`), or shared by several processes
    (:class:`~ltgnn_pyg.distributed.ShardedAdjacency`).

    .. code-block:: python

        z = graph.operator @ x  # Differentiable in x, as `propagate(operator, x)`.
    """

    @property
    @abstractmethod
    def num_rows(self) -> int:
        """The number of rows of a product."""

    @property
    @abstractmethod
    def num_cols(self) -> int:
        """The number of rows of a table that it is multiplied with."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device of the matrix, or of this process's part."""

    @property
    @abstractmethod
    def adjoint(self) -> Operator:
        """The transpose; itself if symmetric."""

    @abstractmethod
    def product(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Returns the product with a table, without gradient, see
        :func:`~ltgnn_pyg.graph.propagate`.
        """

    @abstractmethod
    def without(self, edge_index: Tensor) -> Operator:
        """Returns the matrix with the entries of some edges, in both directions, set
        to zero.

        Args:
            edge_index (torch.Tensor): The edges :obj:`[2, num_edges]`, numbers of
                nodes.
        """

    def __matmul__(self, x: Tensor) -> Tensor:
        from ltgnn_pyg.graph.product import propagate

        return propagate(self, x)
