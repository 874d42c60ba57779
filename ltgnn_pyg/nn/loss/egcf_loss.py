import torch
import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss.objective import Objective, gather, in_full
from ltgnn_pyg.nn.loss.softmax_loss import SoftmaxLoss


class EGCFLoss(Objective):
    r"""Adds contrast within a batch to an objective, without any augmentation, from
    `"Simplify to the Limit! Embedding-less Graph Collaborative Filtering for
    Recommender Systems" <https://doi.org/10.1145/3701230>`_.

    .. math::
        L &= L_0 + w \, \big( N(\mathbf{u}, \mathbf{u}) + N(\mathbf{i}, \mathbf{i}) +
        N(\mathbf{u}, \mathbf{i}) \big)

        N(\mathbf{a}, \mathbf{b}) &= - \frac{1}{B} \sum_b \ln \frac{\exp
        (\mathbf{a}_b^{\top} \mathbf{b}_b / \tau)} {\sum_c \exp (\mathbf{a}_b^{\top}
        \mathbf{b}_c / \tau)}

    of the users' and items' rows of the pairs of a batch at length 1, repeated as often
    as they occur. Items are scored as :math:`L_0` says, which is BPR in the paper:
    :obj:`EGCFLoss(BPRLoss())`, with a loader that draws negatives.

    Args:
        loss_fn (Objective, optional): :math:`L_0`. If :obj:`None`,
            :class:`~ltgnn_pyg.nn.SoftmaxLoss`. (default: :obj:`None`)
        weight (float, optional): :math:`w`; the paper's is 0.1 for Yelp2018, 0.3 for
            Amazon-Book, 0.05 for Alibaba-iFashion. (default: :obj:`0.1`)
        temperature (float, optional): :math:`\tau`; 0.2 for Alibaba-iFashion.
            (default: :obj:`0.1`)

    Raises:
        ValueError: If :obj:`weight` is negative or :obj:`temperature` not positive.

    *Cost:* That of :obj:`loss_fn`, and O(num_pairs^2 x dim) time, O(num_pairs^2)
    memory.
    """

    def __init__(
        self,
        loss_fn: Objective | None = None,
        weight: float = 0.1,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        if not (weight >= 0.0 and temperature > 0.0):
            raise ValueError(
                "Expected 'weight' to be at least 0 and a positive 'temperature' (got "
                f"{weight} and {temperature})"
            )
        self.loss_fn = SoftmaxLoss() if loss_fn is None else loss_fn
        self.weight = weight
        self.temperature = temperature
        self.cosine = self.loss_fn.cosine

    def forward(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        unit = F.normalize(in_full(z), dim=-1)
        src, pos = gather(unit, batch.src_index, batch.dst_pos_index)
        contrast = self._nce(src, src) + self._nce(pos, pos) + self._nce(src, pos)
        loss: Tensor = self.loss_fn(z, batch)
        return loss + self.weight * contrast

    def _nce(self, a: Tensor, b: Tensor) -> Tensor:
        score = a @ b.t() / self.temperature
        return (torch.logsumexp(score, 1) - score.diagonal()).mean()

    def item_bias(self, degree: Tensor) -> Tensor | None:
        """Returns that of the objective."""
        return self.loss_fn.item_bias(degree)
