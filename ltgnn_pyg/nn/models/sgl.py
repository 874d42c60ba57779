from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from ltgnn_pyg.graph.graph_dropout import graph_dropout
from ltgnn_pyg.graph.polynomial import polynomial
from ltgnn_pyg.nn.loss import info_nce
from ltgnn_pyg.nn.models.recommender import Recommender


class SGL(Recommender):
    r"""SGL, from `"Self-supervised Graph Learning for Recommendation"
    <https://arxiv.org/abs/2010.10783>`_: two views of the graph, with edges or nodes
    dropped, that are to agree.

    .. math::
        Z = \frac{1}{L + 1} \sum_{l=0}^{L} \hat{A}^l X, \qquad
        L = L_{rec}(Z) + \lambda \, L_{NCE}(Z', Z'')

    where :math:`Z'` and :math:`Z''` are the same of two graphs of
    :func:`~ltgnn_pyg.graph.graph_dropout`. Those are drawn for each round, where its
    paper draws them for each epoch, and a node is told from the others of its
    micro-batch instead of all.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`3`)
        edge_dropout (float, optional): The probability of an edge to be dropped, "ED"
            in its paper. (default: :obj:`0.1`)
        node_dropout (float, optional): That of a node, "ND". (default: :obj:`0.0`)
        contrast_weight (float, optional): :math:`\lambda`. (default: :obj:`0.1`)
        contrast_temperature (float, optional): The temperature of
            :math:`L_{NCE}`, :func:`~ltgnn_pyg.nn.loss.info_nce`. (default: :obj:`0.2`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`;
            :obj:`loss_fn` is :math:`L_{rec}`.

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* :math:`6 L` sparse products a round, where LightGCN takes :math:`2 L`;
    O(num_pairs^2 x dim) a micro-batch.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_layers: int = 3,
        edge_dropout: float = 0.1,
        node_dropout: float = 0.0,
        contrast_weight: float = 0.1,
        contrast_temperature: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if num_layers < 1 or not contrast_weight >= 0.0:
            raise ValueError(
                "Expected a positive 'num_layers', and 'contrast_weight' to be at "
                f"least 0 (got {num_layers} and {contrast_weight})"
            )
        if not (0.0 <= edge_dropout < 1.0 and 0.0 <= node_dropout < 1.0):
            raise ValueError(
                "Expected 'edge_dropout' and 'node_dropout' in [0, 1) (got "
                f"{edge_dropout} and {node_dropout})"
            )
        if not contrast_temperature > 0.0:
            raise ValueError(
                f"Expected a positive 'contrast_temperature' (got "
                f"{contrast_temperature})"
            )
        self.num_layers = num_layers
        self.edge_dropout = edge_dropout
        self.node_dropout = node_dropout
        self.contrast_weight = contrast_weight
        self.contrast_temperature = contrast_temperature

    def encode(self, adj_t: Tensor) -> Tensor:
        """Returns the mean of all layers."""
        mean = [1.0 / (self.num_layers + 1)] * (self.num_layers + 1)
        return polynomial(self.embedding.weight, adj_t, mean)

    def rows(self, adj_t: Tensor, index: Tensor) -> Tensor:
        """Returns rows of :math:`Z`, :math:`Z'` and :math:`Z''` side by side."""
        drop = self.edge_dropout, self.node_dropout
        graphs = [adj_t, *(graph_dropout(adj_t, *drop) for _ in range(2))]
        return torch.cat([self.encode(g).index_select(0, index) for g in graphs], 1)

    def compare(self, z: Tensor, batch: Data) -> Tensor:
        """Returns the objective of a micro-batch and the contrast of its views."""
        rows, one, two = z.chunk(3, dim=1)
        contrast = info_nce(one, two, batch, self.contrast_temperature)
        return self.loss_fn(rows, batch) + self.contrast_weight * contrast
