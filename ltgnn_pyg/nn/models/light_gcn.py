from typing import Any

from ltgnn_pyg.nn.models.recommender import Recommender


class LightGCN(Recommender):
    r"""LightGCN, from `"LightGCN: Simplifying and Powering Graph Convolution Network
    for Recommendation" <https://arxiv.org/abs/2002.02126>`_.

    .. math::
        Z = \frac{1}{L + 1} \sum_{l=0}^{L} \hat{A}^l X

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int, optional): The size of an embedding.
            (default: :obj:`64`)
        num_layers (int, optional): The number of layers :math:`L`.
            (default: :obj:`3`)
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.

    Raises:
        ValueError: If :obj:`num_layers` is not positive.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if num_layers < 1:
            raise ValueError(f"Expected a positive 'num_layers' (got {num_layers})")
        self.num_layers = num_layers

    @property
    def coefficients(self) -> list[float]:
        """The mean of all layers."""
        return [1.0 / (self.num_layers + 1)] * (self.num_layers + 1)
