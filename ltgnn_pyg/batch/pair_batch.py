from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from torch import Tensor
from torch.nn import Parameter
from torch_geometric.data import Data

from ltgnn_pyg.graph.graph import Graph
from ltgnn_pyg.inputs.history import History
from ltgnn_pyg.inputs.inputs import Inputs


class Trainable(Protocol):
    """The part of a model that batches ask for, see
    :class:`~ltgnn_pyg.nn.models.Recommender`.
    """

    inputs: Inputs

    @property
    def coefficients(self) -> Sequence[float] | None:
        """The polynomial of the graph that it is, if it is one."""

    def rows(self, graph: Graph, n_id: Tensor) -> Tensor:
        """The rows of some nodes over a graph, with gradient."""

    def history_rows(
        self, x: Tensor, n_id: Tensor, aggregate: Tensor, history: History
    ) -> Tensor:
        """The rows of some nodes, a step from a history, with gradient."""


class PairBatch(Data):
    r"""A batch of pairs of users and items, in PyG's form: what a step trains on.

    Attributes:
        n_id (torch.Tensor): The numbers of its nodes, the *seeds* first.
        num_seeds (int): The number of seeds, whose rows the objective sees.
        src_index (torch.Tensor): The user of each pair, its position in :obj:`n_id`.
        dst_pos_index (torch.Tensor): The item of each pair, likewise.
        dst_neg_index (torch.Tensor): Negatives, likewise, where they are drawn: one or
            several a pair, or some that all pairs share.
        log_q (torch.Tensor): The logarithm of the probability of each seed to be drawn
            as a negative, where that is not uniform.
        weight (torch.Tensor): The weight of each pair, where they differ.
        input_id (torch.Tensor): Their places among the training pairs.

    Shapes:
        :obj:`src_index`, :obj:`dst_pos_index`, :obj:`weight`, :obj:`input_id`
        :math:`(B)`; :obj:`dst_neg_index` :math:`(B)`, :math:`(B, M)`, or :math:`(1, M)`
        of shared ones; :obj:`log_q` :math:`(S)`
    """

    @property
    def graph(self) -> Graph:
        """The graph of its round.

        Raises:
            ValueError: If it has none.
        """
        graph: Graph | None = self.get("graph")
        if graph is None:
            raise ValueError(
                f"Expected a batch with the graph of its round (got a "
                f"{type(self).__name__} without one); train on the batches of a "
                "'PairLoader'"
            )
        return graph

    @property
    def seeds(self) -> Tensor:
        """The numbers of the seeds :obj:`[num_seeds]`."""
        return self.n_id[: self.num_seeds]

    @property
    def negatives(self) -> Tensor | None:
        """The negatives that were drawn, :obj:`dst_neg_index`, if any were."""
        return self.get("dst_neg_index")

    @property
    def num_pairs(self) -> int:
        """The number of pairs."""
        return self.src_index.numel()

    def input_rows(self, model: Trainable, x: Tensor | None) -> Tensor:
        """The seeds' rows of a model's inputs: :obj:`x` where they are at hand, looked
        up otherwise.
        """
        return model.inputs.rows(self.seeds) if x is None else x

    @abstractmethod
    def rows(self, model: Trainable, x: Tensor | None = None) -> Tensor:
        """Returns the rows of the seeds that the objective is of, with gradient.

        Args:
            model (Trainable): The model.
            x (torch.Tensor, optional): The seeds' rows of its inputs, where they are at
                hand; looked up otherwise. (default: :obj:`None`)

        Returns:
            :obj:`[num_seeds, dim]`.
        """

    def mean(
        self, z: Tensor, compare: Compare, params: Sequence[Parameter] = ()
    ) -> Tensor:
        """Returns the mean of an objective over the pairs, a scalar.

        Args:
            z (torch.Tensor): The rows of the seeds.
            compare (callable): The objective of a micro-batch, given its rows and it.
            params (list, optional): The parameters of the objective itself.
                (default: :obj:`()`)
        """
        return compare(z, self)

    def micro_batches(self) -> Iterable[PairBatch]:
        """The micro-batches of a round; a batch of another kind is one itself."""
        return [self]

    def share(self, part: PairBatch) -> float:
        """The share of the pairs that a micro-batch holds."""
        return part.num_pairs / self.num_pairs


Compare = Callable[[Tensor, PairBatch], Tensor]
