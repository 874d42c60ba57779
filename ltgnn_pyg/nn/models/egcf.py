from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.graph import Graph, propagate
from ltgnn_pyg.inputs import Embeddings, Inputs
from ltgnn_pyg.nn.loss import EGCFLoss, Objective
from ltgnn_pyg.nn.models.recommender import Recommender


class EGCF(Recommender):
    r"""Embedding-less graph collaborative filtering, from `"Simplify to the
    Limit! Embedding-less Graph Collaborative Filtering for Recommender Systems"
    <https://doi.org/10.1145/3701230>`_ (TOIS 2024).

    Items have a row each, :math:`X_I`; users have none, and are made of their items.
    With the block of users and items :math:`R = D_U^{-1/2} B D_I^{-1/2}` of
    :math:`\hat{A}`,

    .. math::
        H^{(0)} = \begin{bmatrix} \tanh (R X_I) \\ X_I \end{bmatrix}, \qquad
        H^{(l + 1)} = \tanh (\hat{A} H^{(l)}), \qquad Z = \sum_{l=1}^{L} H^{(l)}

    or, :obj:`alternating`, :math:`U^{(l)} = \tanh (R V^{(l - 1)})`, :math:`V^{(l)} =
    \tanh (R^{\top} U^{(l)})` from :math:`V^{(0)} = X_I`, whose sums are :math:`Z`. Its
    own objective, :class:`~ltgnn_pyg.nn.EGCFLoss`, adds contrast between the users, the
    items and the pairs of a batch.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`3`)
        alternating (bool, optional): Users and items in turn, as the paper has it for
            Alibaba-iFashion; otherwise in parallel, as for Yelp2018 and Amazon-Book.
            (default: :obj:`False`)
        loss_fn (Objective, optional): The objective. If :obj:`None`,
            :class:`~ltgnn_pyg.nn.EGCFLoss`. (default: :obj:`None`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`; the
            :obj:`weight_decay` is of items' rows, there are no others.

    Raises:
        ValueError: If :obj:`num_layers` is not positive.

    *Cost:* O((L + 1) x E x dim) time a round, O(2 L x E x dim) :obj:`alternating`,
    forward and backward alike; a table of I x dim numbers, and L + 1 of N x dim in
    training.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_layers: int = 3,
        alternating: bool = False,
        loss_fn: Objective | None = None,
        **kwargs: Any,
    ) -> None:
        loss_fn = EGCFLoss() if loss_fn is None else loss_fn
        super().__init__(num_users, num_items, embedding_dim, loss_fn=loss_fn, **kwargs)
        if num_layers < 1:
            raise ValueError(f"Expected a positive 'num_layers' (got {num_layers})")
        self.num_layers = num_layers
        self.alternating = alternating

    def make_inputs(self) -> Inputs:
        """Makes a row of a table for each item."""
        size = self.num_users + self.num_items, self.embedding_dim
        return Embeddings(*size, first=self.num_users, std=self.init_std)

    def encode(self, graph: Graph) -> Tensor:
        """Returns the sum of the layers, :math:`X` not among them."""
        operator, user, item = graph.operator, graph.nodes("user"), graph.nodes("item")
        x = _only(self.inputs.table(), item)  # Zeros for users, new ones too.
        if self.alternating:
            layers = []
            for _ in range(self.num_layers):
                h = _only(propagate(operator, x), user).tanh()
                x = _only(propagate(operator, h), item).tanh()
                layers.append(h + x)
        else:
            layers, h = [], x + _only(propagate(operator, x), user).tanh()
            for _ in range(self.num_layers):
                h = propagate(operator, h).tanh()
                layers.append(h)
        return sum(layers[1:], layers[0])


def _only(table: Tensor, nodes: slice | Tensor) -> Tensor:
    """A table with the rows of some nodes, and zeros for others."""
    out = torch.zeros_like(table)
    out[nodes] = table[nodes]
    return out
