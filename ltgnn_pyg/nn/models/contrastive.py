from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.nn.loss import info_nce
from ltgnn_pyg.nn.models.recommender import Recommender


class Contrastive(Recommender):
    r"""A model whose views of each node are to agree, beside what it recommends:

    .. math::
        L = L_{rec} + \lambda \, L_{NCE}

    with the contrast of :func:`~ltgnn_pyg.nn.loss.info_nce` between two views, the
    seeds of the micro-batch being each other's negatives.

    Args:
        num_users (int): The number of users.
        num_items (int): The number of items.
        embedding_dim (int): The size of an embedding.
        num_layers (int): The number of layers :math:`L`.
        contrast_weight (float): :math:`\lambda`.
        contrast_temperature (float): The temperature of :math:`L_{NCE}`.
        **kwargs (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`;
            :obj:`loss_fn` is :math:`L_{rec}`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        embedding_dim: int,
        *,
        num_layers: int,
        contrast_weight: float,
        contrast_temperature: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        if num_layers < 1 or not contrast_weight >= 0.0:
            raise ValueError(
                "Expected a positive 'num_layers', and 'contrast_weight' to be at "
                f"least 0 (got {num_layers} and {contrast_weight})"
            )
        if not contrast_temperature > 0.0:
            raise ValueError(
                f"Expected a positive 'contrast_temperature' (got "
                f"{contrast_temperature})"
            )
        self.num_layers = num_layers
        self.contrast_weight = contrast_weight
        self.contrast_temperature = contrast_temperature

    @abstractmethod
    def views(self, graph: Graph, n_id: Tensor) -> list[Tensor]:
        """Returns the rows of some nodes that :math:`L_{rec}` is of, and those of their
        views; the last two are compared.

        Args:
            graph (Graph): The graph of the round.
            n_id (torch.Tensor): The numbers of the nodes :obj:`[num_seeds]`.
        """

    def rows(self, graph: Graph, n_id: Tensor) -> Tensor:
        """Returns the :meth:`views` side by side."""
        return torch.cat(self.views(graph, n_id), dim=1)

    def compare(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the objective of a micro-batch and the contrast of its views."""
        rows, *views = z.split(self.out_dim, dim=1)
        one, two = [rows, *views][-2:]
        contrast = info_nce(one, two, batch, self.contrast_temperature)
        return self.loss_fn(rows, batch) + self.contrast_weight * contrast
