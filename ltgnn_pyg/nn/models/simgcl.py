from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from ltgnn_pyg.graph.adjacency import propagate
from ltgnn_pyg.graph.polynomial import polynomial
from ltgnn_pyg.nn.conv import noisy_layers
from ltgnn_pyg.nn.loss import info_nce
from ltgnn_pyg.nn.models.recommender import Recommender


class SimGCL(Recommender):
    r"""SimGCL, from `"Are Graph Augmentations Necessary? Simple Graph Contrastive
    Learning for Recommendation" <https://arxiv.org/abs/2112.08679>`_: two views of
    the graph, made by noise in each layer, that are to agree.

    .. math::
        Z = \frac{1}{L} \sum_{l=1}^{L} \hat{A}^l X, \qquad
        Z' = \frac{1}{L} \sum_{l=1}^{L} H^l, \qquad
        L = L_{rec}(Z) + \lambda \, L_{NCE}(Z', Z'')

    with the layers :math:`H^l` of :func:`~ltgnn_pyg.nn.conv.noisy_layers`. What is
    scored is :math:`Z`: LightGCN without the layer 0. The noise has no gradient, so
    all three tables share one backward pass.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`3`)
        eps (float, optional): :math:`\epsilon`, the length of the noise.
            (default: :obj:`0.1`)
        contrast_weight (float, optional): :math:`\lambda`. (default: :obj:`0.5`)
        contrast_temperature (float, optional): The temperature of
            :math:`L_{NCE}`, :func:`~ltgnn_pyg.nn.loss.info_nce`. (default: :obj:`0.2`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`;
            :obj:`loss_fn` is :math:`L_{rec}`.

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* :math:`4 L - 2` sparse products a round, where LightGCN takes :math:`2 L`;
    O(num_pairs^2 x dim) a micro-batch.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_layers: int = 3,
        eps: float = 0.1,
        contrast_weight: float = 0.5,
        contrast_temperature: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if num_layers < 1 or not (eps >= 0.0 and contrast_weight >= 0.0):
            raise ValueError(
                "Expected a positive 'num_layers', and 'eps' and 'contrast_weight' to "
                f"be at least 0 (got {num_layers}, {eps} and {contrast_weight})"
            )
        if not contrast_temperature > 0.0:
            raise ValueError(
                f"Expected a positive 'contrast_temperature' (got "
                f"{contrast_temperature})"
            )
        self.num_layers = num_layers
        self.eps = eps
        self.contrast_weight = contrast_weight
        self.contrast_temperature = contrast_temperature

    def encode(self, adj_t: Tensor) -> Tensor:
        """Returns the mean of all layers but the first, without noise."""
        mean = [1.0 / self.num_layers] * self.num_layers
        return polynomial(self.embedding.weight, adj_t, [0.0, *mean])

    def rows(self, adj_t: Tensor, index: Tensor) -> Tensor:
        """Returns rows of :math:`Z`, :math:`Z'` and :math:`Z''` side by side."""
        first = propagate(adj_t, self.embedding.weight)
        layers = noisy_layers(first, adj_t, self.num_layers, 0.0)
        rows = (reduce(torch.add, layers) / self.num_layers).index_select(0, index)
        del layers
        views = [self._noise(first, adj_t, index, rows) for _ in range(2)]
        return torch.cat([rows, *(rows + noise for noise in views)], dim=1)

    @torch.no_grad()
    def _noise(
        self, first: Tensor, adj_t: Tensor, index: Tensor, rows: Tensor
    ) -> Tensor:
        """What a view has more than :math:`Z`."""
        layers = noisy_layers(first, adj_t, self.num_layers, self.eps)
        view = reduce(torch.add, layers) / self.num_layers
        return view.index_select(0, index) - rows

    def compare(self, z: Tensor, batch: Data) -> Tensor:
        """Returns the objective of a micro-batch and the contrast of its views."""
        rows, one, two = z.chunk(3, dim=1)
        contrast = info_nce(one, two, batch, self.contrast_temperature)
        return self.loss_fn(rows, batch) + self.contrast_weight * contrast
