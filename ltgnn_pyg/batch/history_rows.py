from __future__ import annotations

from torch import Tensor

from ltgnn_pyg.batch.pair_batch import PairBatch, Trainable
from ltgnn_pyg.inputs.history import History


class HistoryRows(PairBatch):
    r"""A batch of a :class:`~ltgnn_pyg.VRNeighborLoader`: pairs, and the rows of a
    history that one step starts from.

    Attributes:
        aggregate (torch.Tensor): The estimate of :math:`\hat{A} Z_{hist}` for each seed
            :obj:`[num_seeds, dim]`.
        history (History): The history.
        edge_index (torch.Tensor): The sampled edges in positions of :obj:`n_id`,
            neighbour to seed.
        edge_weight (torch.Tensor): Their weights :math:`c_{rj} \hat{A}_{rj}`.
    """

    aggregate: Tensor
    history: History

    def rows(self, model: Trainable, x: Tensor | None = None) -> Tensor:
        """Returns the rows of the seeds, a step from the history."""
        x = self.input_rows(model, x)
        return model.history_rows(x, self.seeds, self.aggregate, self.history)
