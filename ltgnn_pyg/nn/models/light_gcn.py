from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch_geometric.data import Data
from torch_geometric.typing import OptTensor

from ltgnn_pyg.adjacency import propagate
from ltgnn_pyg.nn.models.recommender import Recommender


class LightGCN(Recommender):
    r"""LightGCN, from `"LightGCN: Simplifying and Powering Graph Convolution Network
    for Recommendation" <https://arxiv.org/abs/2002.02126>`_, as fast as a sparse
    product allows: one product with a matrix normalised once, for each layer.

    .. math::
        Z = \frac{1}{L + 1} \sum_{l=0}^{L} \hat{A}^l X

    Every batch propagates over the whole graph, forward and backward. The
    gradient of the table is dense.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`3`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.

    *Cost:* O(L x E x dim) time a batch, so O(L x E^2 x dim / batch_size) an epoch.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_layers: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, sparse=False, **kwargs)
        if num_layers < 1:
            raise ValueError(f"Expected a positive 'num_layers' (got {num_layers})")
        self.num_layers = num_layers

    def loss(self, batch: Data, x: OptTensor = None) -> Tensor:
        """Returns the training loss of a batch, a scalar."""
        x, seed = self._rows(x), batch.n_id[: batch.num_seeds]
        z = F.embedding(seed, self._embed(self._adj_t, x))
        return self._objective(z, F.embedding(seed, x), batch)

    def _embed(self, adj_t: OptTensor, x: Tensor) -> Tensor:
        adj_t, z, total = self._graph(adj_t), x, x
        for _ in range(self.num_layers):
            z = _Propagate.apply(adj_t, z)
            total = total + z
        return total / (self.num_layers + 1)


class _Propagate(torch.autograd.Function):
    """A product with a symmetric matrix, whose transpose is itself."""

    @staticmethod
    def forward(ctx: Any, adj_t: Tensor, x: Tensor) -> Tensor:
        ctx.adj_t = adj_t
        return propagate(adj_t, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, propagate(ctx.adj_t, grad.contiguous())
