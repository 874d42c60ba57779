import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.graph import Graph, propagate
from ltgnn_pyg.nn.models.recommender import Recommender


class LightGCNPlusPlus(Recommender):
    r"""LightGCN++, from `"Revisiting LightGCN: Unexpected Inflexibility,
    Inconsistency, and A Remedy Towards Improved Recommendation"
    <https://doi.org/10.1145/3640457.3688176>`_ (RecSys 2024).

    .. math::
        \mathbf{h}^{(l + 1)} = D^{-\alpha} A D^{-\beta} \,
        \mathrm{norm}(\mathbf{h}^{(l)}), \qquad
        Z = \gamma X + \frac{1 - \gamma}{L} \sum_{l=1}^{L} \mathbf{h}^{(l)}, \qquad
        \mathbf{h}^{(0)} = X

    where :math:`\mathrm{norm}` brings each row to length 1: how much a message weighs
    is said by :math:`\beta`, how long a row becomes by :math:`\alpha`, and nothing
    else. :math:`D^{-\alpha} A D^{-\beta} = D^{1/2 - \alpha} \hat{A} D^{1/2 -
    \beta}`, by the degrees that :math:`\hat{A}` was normalised by. The defaults are
    those of the reference code; it takes :math:`\gamma = 0` for Yelp2018.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`2`)
        alpha (float, optional): :math:`\alpha`, of the node that is reached.
            (default: :obj:`0.6`)
        beta (float, optional): :math:`\beta`, of the neighbour.
            (default: :obj:`-0.1`)
        gamma (float, optional): :math:`\gamma` in :math:`[0, 1]`, the weight of
            :math:`X`. (default: :obj:`0.2`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* O(L x E x dim) time a round, forward and backward alike; memory of about 3
    L N x dim numbers in training. It is no polynomial of the graph, so it takes no
    inner steps.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_layers: int = 2,
        alpha: float = 0.6,
        beta: float = -0.1,
        gamma: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        powers = math.isfinite(alpha) and math.isfinite(beta)
        if num_layers < 1 or not (powers and 0.0 <= gamma <= 1.0):
            raise ValueError(
                "Expected a positive 'num_layers', finite 'alpha' and 'beta' and "
                f"'gamma' in [0, 1] (got {num_layers}, {alpha}, {beta} and {gamma})"
            )
        self.num_layers = num_layers
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma

    def encode(self, graph: Graph) -> Tensor:
        """Returns the weighted mean of :math:`X` and its layers."""
        h, operator = self.inputs.table(), graph.matrix
        d = operator.degree.to(h).unsqueeze(1)
        d = d.where(d > 0, 1.0)  # What these nodes send and get is zero.
        left, right = d.pow(0.5 - self.alpha), d.pow(0.5 - self.beta)
        z = self.gamma * h
        for _ in range(self.num_layers):
            h = left * propagate(operator, right * F.normalize(h, dim=-1))
            z = z + (1.0 - self.gamma) / self.num_layers * h
        return z
