from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.graph import Graph, Operator, polynomial, propagate
from ltgnn_pyg.nn.conv import noisy_layers
from ltgnn_pyg.nn.models.contrastive import Contrastive


class SimGCL(Contrastive):
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
        super().__init__(
            num_users,
            num_items,
            embedding_dim,
            num_layers=num_layers,
            contrast_weight=contrast_weight,
            contrast_temperature=contrast_temperature,
            **kwargs,
        )
        if not eps >= 0.0:
            raise ValueError(f"Expected 'eps' to be at least 0 (got {eps})")
        self.eps = eps

    def encode(self, graph: Graph) -> Tensor:
        """Returns the mean of all layers but the first, without noise."""
        mean = [1.0 / self.num_layers] * self.num_layers
        return polynomial(self.inputs.table(), graph.operator, [0.0, *mean])

    def views(self, graph: Graph, n_id: Tensor) -> list[Tensor]:
        """Returns rows of :math:`Z`, :math:`Z'` and :math:`Z''`."""
        first = propagate(graph.operator, self.inputs.table())
        layers = noisy_layers(first, graph.operator, self.num_layers, 0.0)
        rows = (reduce(torch.add, layers) / self.num_layers).index_select(0, n_id)
        del layers
        noise = [self._noise(first, graph.operator, n_id, rows) for _ in range(2)]
        return [rows, *(rows + each for each in noise)]

    @torch.no_grad()
    def _noise(
        self, first: Tensor, operator: Operator, n_id: Tensor, rows: Tensor
    ) -> Tensor:
        """The difference of a view and :math:`Z`."""
        layers = noisy_layers(first, operator, self.num_layers, self.eps)
        view = reduce(torch.add, layers) / self.num_layers
        return view.index_select(0, n_id) - rows
