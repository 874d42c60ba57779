from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.nn.settings_repr import settings_repr


class Objective(Module, ABC):
    r"""The objective of a model: a scalar of the embeddings of a batch, and the way
    that they are scored afterwards.

    An item scores :math:`\mathbf{z}_u^{\top} \mathbf{z}_i + b_i`, or with
    :attr:`cosine` :math:`\cos(\mathbf{z}_u, \mathbf{z}_i) + b_i`, where :math:`b` is
    :meth:`item_bias`.
    """

    cosine: bool = False  #: True if items are scored by cosine.
    takes_weights: ClassVar[bool] = False  #: True if pairs may have weights.

    @abstractmethod
    def forward(self, z: Tensor, batch: PairBatch) -> Tensor:
        r"""Returns the mean loss of a batch, a scalar.

        Args:
            z (torch.Tensor): The embeddings of :obj:`batch.seeds`,
                :obj:`[num_seeds, dim]`.
            batch (PairBatch): The batch.
        """

    def prepare(self, graph: Graph) -> None:
        r"""Learns beforehand what an objective, and those inside of it, are to know of
        the graph that is trained on; most know of nothing but the batch.
        :func:`~ltgnn_pyg.fit` calls it before the first epoch, a loop of your own does
        so itself.

        Args:
            graph (Graph): The graph that is trained on.
        """
        for inner in self.children():
            if isinstance(inner, Objective):
                inner.prepare(graph)

    def item_bias(self, degree: Tensor) -> Tensor | None:
        r"""Returns what the embeddings leave out of the score of an item.

        Args:
            degree (torch.Tensor): The popularity of each item in the training graph,
                :obj:`[num_items]`.

        Returns:
            :math:`b`, :obj:`[num_items]`, in the units of the inner product or the
            cosine; :obj:`None` if nothing is left out.
        """
        return None

    def extra_repr(self) -> str:
        """The settings."""
        return settings_repr(self)


def log_degree(degree: Tensor) -> Tensor:
    """The logarithm of degrees; those of 0 count as the lowest that is not."""
    if not degree.is_floating_point():
        degree = degree.to(torch.get_default_dtype())
    positive = degree > 0
    lowest = degree.where(positive, torch.inf).amin(-1, keepdim=True)
    lowest = lowest.where(lowest < torch.inf, 1.0)  # A graph without edges.
    return degree.where(positive, lowest).log()


def in_full(z: Tensor) -> Tensor:
    """Rows in 32 bits at least."""
    return z.to(torch.promote_types(z.dtype, torch.float32))


def gather(z: Tensor, *index: Tensor) -> tuple[Tensor, ...]:
    """The rows of several indices, read at once."""
    # The backward of `embedding` adds rows in a fixed order, that of indexing
    # does not: a resumed run must equal an uninterrupted one to the bit.
    return F.embedding(torch.cat(index), z).split([i.numel() for i in index])
