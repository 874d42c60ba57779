import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss.objective import Objective, gather, in_full


class DirectAULoss(Objective):
    r"""Alignment and uniformity, from `"Towards Representation Alignment and
    Uniformity in Collaborative Filtering" <https://arxiv.org/abs/2206.12811>`_. It
    needs no negatives.

    .. math::
        L = \frac{1}{B} \sum_b \| \mathbf{u}_b - \mathbf{i}_b \|^2 +
        \frac{\gamma}{2} \Big( \ln \mathbb{E}_{b < c} \, e^{-2 \| \mathbf{u}_b -
        \mathbf{u}_c \|^2} + \ln \mathbb{E}_{b < c} \, e^{-2 \| \mathbf{i}_b -
        \mathbf{i}_c \|^2} \Big)

    of the rows at length 1. It compares no item with others, so it learns no density
    ratio, and no popularity is left out of it. Negatives in the batch are ignored.

    Args:
        gamma (float, optional): :math:`\gamma`, the weight of uniformity.
            (default: :obj:`1.0`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product, as the
            reference code does. What is trained is the same. (default: :obj:`True`)

    Raises:
        ValueError: If :obj:`gamma` is negative.

    *Cost:* O(num_pairs^2 x dim) time, O(num_pairs^2) memory.
    """

    def __init__(self, gamma: float = 1.0, cosine: bool = True) -> None:
        super().__init__()
        if not gamma >= 0.0:
            raise ValueError(f"Expected 'gamma' of at least 0 (got {gamma})")
        self.gamma = gamma
        self.cosine = cosine

    def forward(self, z: Tensor, batch: PairBatch) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        z = F.normalize(in_full(z), dim=-1)
        src, pos = gather(z, batch.src_index, batch.dst_pos_index)
        align = (src - pos).square().sum(-1).mean()
        return align + self.gamma / 2 * (_uniformity(src) + _uniformity(pos))


def _uniformity(rows: Tensor) -> Tensor:
    """The closeness of unit rows: the logarithm of their mean Gaussian kernel."""
    num = rows.size(0)
    if num < 2:
        return rows.sum() * 0.0
    kernel = 4 * (rows @ rows.t()) - 4  # Each two rows twice, and none with itself.
    itself = torch.eye(num, dtype=torch.bool, device=rows.device)
    kernel = kernel.masked_fill(itself, float("-inf"))
    return torch.logsumexp(kernel.view(-1), 0) - math.log(num * (num - 1))
