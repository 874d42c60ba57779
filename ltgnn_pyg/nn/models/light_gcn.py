from collections.abc import Sequence
from math import isfinite
from typing import Any

from torch import Tensor

from ltgnn_pyg.graph import Graph, Operator, drop_edges, polynomial
from ltgnn_pyg.nn.models.recommender import Recommender


class LightGCN(Recommender):
    r"""LightGCN, from `"LightGCN: Simplifying and Powering Graph Convolution Network
    for Recommendation" <https://arxiv.org/abs/2002.02126>`_.

    .. math::
        Z = \sum_{l=0}^{L} a_l \hat{A}^l X, \qquad a_l = \frac{1}{L + 1}

    With :obj:`dropout`, a training step sees the graph without some of its edges
    (:func:`~ltgnn_pyg.graph.drop_edges`), the same in all layers.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`3`)
        layer_weights (list of float, optional): :math:`a_0, \ldots, a_L`. If
            :obj:`None`, the mean. (default: :obj:`None`)
        dropout (float, optional): The share of edges that is dropped in training. With
            it, the model takes no inner steps. (default: :obj:`0.0`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.

    Raises:
        ValueError: If an argument is out of its range, or :obj:`layer_weights` are not
            :obj:`num_layers + 1`.

    *Cost:* O(L x E x dim) time a round, forward and backward alike. In rounds of a
    fixed number an epoch is linear in the interactions; in the batches of its paper,
    rounds of 2,048 pairs, it is quadratic.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_layers: int = 3,
        layer_weights: Sequence[float] | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if num_layers < 1 or not 0.0 <= dropout < 1.0:
            raise ValueError(
                f"Expected a positive 'num_layers' and 'dropout' in [0, 1) (got "
                f"{num_layers} and {dropout})"
            )
        if layer_weights is None:
            layer_weights = [1.0 / (num_layers + 1)] * (num_layers + 1)
        known = all(map(isfinite, layer_weights))
        if len(layer_weights) != num_layers + 1 or not known:
            raise ValueError(
                f"Expected {num_layers + 1} finite 'layer_weights', the table's first "
                f"(got {list(layer_weights)}); pass as many as 'num_layers' + 1"
            )
        self.num_layers = num_layers
        self.layer_weights = list(layer_weights)
        self.dropout = dropout

    @property
    def coefficients(self) -> list[float] | None:
        """The weights of the layers; :obj:`None` with dropout, as training is then of
        another graph than the one given.
        """
        return self.layer_weights if self.dropout == 0.0 else None

    def encode(self, graph: Graph) -> Tensor:
        """Returns the weighted sum of the layers."""
        operator: Operator = graph.operator
        if self.dropout > 0.0 and self.training:
            operator = drop_edges(graph.matrix, self.dropout)
        return polynomial(self.inputs.table(), operator, self.layer_weights)
