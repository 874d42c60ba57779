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


class XSimGCL(Recommender):
    r"""XSimGCL, from `"XSimGCL: Towards Extremely Simple Graph Contrastive Learning
    for Recommendation" <https://arxiv.org/abs/2209.02544>`_: one noisy pass, whose
    result is to agree with one of its layers.

    .. math::
        Z' = \frac{1}{L} \sum_{l=1}^{L} H^l, \qquad
        L = L_{rec}(Z') + \lambda \, L_{NCE}(Z', H^{l^*})

    with the layers :math:`H^l` of :func:`~ltgnn_pyg.nn.conv.noisy_layers`. What is
    scored is without noise: LightGCN without the layer 0. It costs what that does, as
    the gradients of both losses share the products of the backward pass.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`3`)
        eps (float, optional): :math:`\epsilon`, the length of the noise.
            (default: :obj:`0.2`)
        contrast_layer (int, optional): :math:`l^*`. (default: :obj:`1`)
        contrast_weight (float, optional): :math:`\lambda`. (default: :obj:`0.2`)
        contrast_temperature (float, optional): The temperature of
            :math:`L_{NCE}`, :func:`~ltgnn_pyg.nn.loss.info_nce`. (default: :obj:`0.15`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`;
            :obj:`loss_fn` is :math:`L_{rec}`.

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* :math:`2 L` sparse products a round, as LightGCN; O(num_pairs^2 x dim) a
    micro-batch.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_layers: int = 3,
        eps: float = 0.2,
        contrast_layer: int = 1,
        contrast_weight: float = 0.2,
        contrast_temperature: float = 0.15,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if not 1 <= contrast_layer <= num_layers:
            raise ValueError(
                "Expected a positive 'num_layers', and 'contrast_layer' to be one of "
                f"them (got {num_layers} and {contrast_layer})"
            )
        if not (eps >= 0.0 and contrast_weight >= 0.0):
            raise ValueError(
                "Expected 'eps' and 'contrast_weight' to be at least 0 (got "
                f"{eps} and {contrast_weight})"
            )
        if not contrast_temperature > 0.0:
            raise ValueError(
                f"Expected a positive 'contrast_temperature' (got "
                f"{contrast_temperature})"
            )
        self.num_layers = num_layers
        self.eps = eps
        self.contrast_layer = contrast_layer
        self.contrast_weight = contrast_weight
        self.contrast_temperature = contrast_temperature

    def encode(self, adj_t: Tensor) -> Tensor:
        """Returns the mean of all layers but the first, without noise."""
        mean = [1.0 / self.num_layers] * self.num_layers
        return polynomial(self.embedding.weight, adj_t, [0.0, *mean])

    def rows(self, adj_t: Tensor, index: Tensor) -> Tensor:
        r"""Returns rows of :math:`Z'` and :math:`H^{l^*}` side by side."""
        first = propagate(adj_t, self.embedding.weight)
        layers = noisy_layers(first, adj_t, self.num_layers, self.eps)
        mean = reduce(torch.add, layers) / self.num_layers
        tables = mean, layers[self.contrast_layer - 1]
        return torch.cat([table.index_select(0, index) for table in tables], 1)

    def compare(self, z: Tensor, batch: Data) -> Tensor:
        """Returns the objective of a micro-batch and the contrast of its views."""
        rows, layer = z.chunk(2, dim=1)
        contrast = info_nce(rows, layer, batch, self.contrast_temperature)
        return self.loss_fn(rows, batch) + self.contrast_weight * contrast
