from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, ModuleList

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.graph import Graph, propagate
from ltgnn_pyg.nn.models.recommender import Recommender


class NGCF(Recommender):
    r"""Neural graph collaborative filtering, from `"Neural Graph Collaborative
    Filtering" <https://arxiv.org/abs/1905.08108>`_.

    .. math::
        M &= S E^{(l)}, \qquad S = (D + I)^{-1} (A + I)

        E^{(l + 1)} &= \mathrm{drop} \big( \mathrm{LeakyReLU} (M W_1^{(l)} + b_1^{(l)})
        + \mathrm{LeakyReLU} ((E^{(l)} \odot M) W_2^{(l)} + b_2^{(l)}) \big)

        Z &= \big[ E^{(0)} \,\|\, \mathrm{norm}(E^{(1)}) \,\|\, \cdots \,\|\,
        \mathrm{norm}(E^{(L)}) \big], \qquad E^{(0)} = X

    with a slope of 0.2, a dropout of messages in training, and rows at length 1 in
    :math:`Z` only. This is the reference code. The paper has the symmetric
    :math:`\hat{A} + I` for :math:`S`, one activation of the sum, and no biases.

    :math:`S` is row-normalised and not kept: with :math:`A = D^{1/2} \hat{A} D^{1/2}`,
    :math:`S E = (D + I)^{-1} (D^{1/2} \hat{A} D^{1/2} E + E)`, by the degrees that
    :math:`\hat{A}` was normalised by (:attr:`~ltgnn_pyg.graph.CSROperator.degree`). A
    node without an edge hands its own row on.

    A table of :obj:`embedding_dim` columns makes vectors of :attr:`out_dim`,
    :obj:`(num_layers + 1) * embedding_dim`: 256 by default.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding and of each layer.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`3`)
        dropout (float, optional): The share of the messages' numbers that is dropped
            in training. (default: :obj:`0.1`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`; its
            :obj:`weight_decay` is of the rows of :math:`Z` here, in place of
            :math:`X`, as in the reference code.

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* O(L (E x dim + N x dim^2)) time a round, forward; memory of about 10 L N x
    dim numbers in training.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        *,
        num_layers: int = 3,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if num_layers < 1 or not 0.0 <= dropout < 1.0:
            raise ValueError(
                f"Expected a positive 'num_layers' and 'dropout' in [0, 1) (got "
                f"{num_layers} and {dropout})"
            )
        self.num_layers = num_layers
        self.dropout = dropout
        size = embedding_dim, embedding_dim
        self.of_sum = ModuleList(Linear(*size) for _ in range(num_layers))
        self.of_product = ModuleList(Linear(*size) for _ in range(num_layers))
        self._reset_layers()

    @property
    def out_dim(self) -> int:
        """The number of columns of :math:`Z`, those of all layers."""
        return (self.num_layers + 1) * self.embedding_dim

    def reset_parameters(self) -> None:
        """Draws the table and the layers anew."""
        super().reset_parameters()
        self._reset_layers()

    def _reset_layers(self) -> None:
        for layer in (*self.of_sum, *self.of_product):
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)

    def encode(self, graph: Graph) -> Tensor:
        """Returns all layers side by side, :obj:`[num_nodes, out_dim]`."""
        e, operator = self.inputs.table(), graph.matrix
        wide = torch.promote_types(e.dtype, torch.float32)
        d = operator.degree.to(e.device, wide).unsqueeze(1)
        root, out = d.sqrt(), [e]
        for of_sum, of_product in zip(self.of_sum, self.of_product, strict=True):
            m = ((root * propagate(operator, root * e) + e) / (d + 1)).to(e.dtype)
            e = F.leaky_relu(of_sum(m), 0.2) + F.leaky_relu(of_product(e * m), 0.2)
            e = F.dropout(e, self.dropout, self.training)
            out.append(F.normalize(e, dim=-1))
        return torch.cat(out, dim=1)

    def loss(self, batch: PairBatch) -> Tensor:
        r"""Returns the training loss of a batch, a scalar, whose :math:`L_2` term is
        of the rows of :math:`Z`, see :meth:`~ltgnn_pyg.nn.models.Recommender.loss`.
        """
        z = batch.rows(self)
        loss = self.objective(z, batch)
        return loss if self.weight_decay == 0.0 else loss + self.decay(z, batch)
