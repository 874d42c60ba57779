from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.graph import Graph, polynomial, propagate
from ltgnn_pyg.nn.conv import noisy_layers
from ltgnn_pyg.nn.models.contrastive import Contrastive


class XSimGCL(Contrastive):
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
        super().__init__(
            num_users,
            num_items,
            embedding_dim,
            num_layers=num_layers,
            contrast_weight=contrast_weight,
            contrast_temperature=contrast_temperature,
            **kwargs,
        )
        if not 1 <= contrast_layer <= num_layers:
            raise ValueError(
                "Expected a positive 'num_layers', and 'contrast_layer' to be one of "
                f"them (got {num_layers} and {contrast_layer})"
            )
        if not eps >= 0.0:
            raise ValueError(f"Expected 'eps' to be at least 0 (got {eps})")
        self.eps = eps
        self.contrast_layer = contrast_layer

    def encode(self, graph: Graph) -> Tensor:
        """Returns the mean of all layers but the first, without noise."""
        mean = [1.0 / self.num_layers] * self.num_layers
        return polynomial(self.inputs.table(), graph.operator, [0.0, *mean])

    def views(self, graph: Graph, n_id: Tensor) -> list[Tensor]:
        r"""Returns rows of :math:`Z'` and :math:`H^{l^*}`."""
        first = propagate(graph.operator, self.inputs.table())
        layers = noisy_layers(first, graph.operator, self.num_layers, self.eps)
        mean = reduce(torch.add, layers) / self.num_layers
        tables = mean, layers[self.contrast_layer - 1]
        return [table.index_select(0, n_id) for table in tables]
