from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss, gather


class SoftmaxLoss(RankingLoss):
    r"""Sampled softmax: tell the positive from the negatives, all at once.

    .. math::
        L = - \frac{1}{B} \sum_b \ln \frac{\exp s'_{u_b i_b}}
        {\exp s'_{u_b i_b} + \sum_{j \in \mathcal{N}_b} \exp s'_{u_b j}},
        \qquad s'_{ui} = s_{ui} - \ln q_i

    with the cosine :math:`s_{ui} = \cos(\mathbf{z}_u, \mathbf{z}_i) / \tau`, from
    `"On the Effectiveness of Sampled Softmax Loss for Item Recommendation"
    <https://arxiv.org/abs/2201.02327>`_, and the correction of `"Sampling-Bias-
    Corrected Neural Modeling for Large Corpus Item Recommendations"
    <https://doi.org/10.1145/3298689.3346996>`_: :math:`q_i` is how often item
    :math:`i` is drawn as a negative. It makes the scores estimate how likely the
    user takes the item; without it, in a batch whose items serve as negatives as
    often as they are popular, they estimate that over the item's popularity, which
    can be made good when items are scored
    (:class:`~ltgnn_pyg.nn.models.Recommender`, :obj:`popularity`).

    Args:
        temperature (float, optional): :math:`\tau`. (default: :obj:`0.12`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`True`)
        log_q (bool, optional): Corrects for :math:`q` where the batch tells it, as
            those of :class:`~ltgnn_pyg.VRNeighborLoader` do.
            (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`temperature` is not positive.

    *Cost:* O(batch_size x amount x dim) time, with :obj:`amount = batch_size` in the
    batch; there memory is O(batch_size x (dim + 1024)), and the gradient is computed
    along with the loss.
    """

    def __init__(
        self, temperature: float = 0.12, cosine: bool = True, log_q: bool = False
    ) -> None:
        super().__init__(cosine, temperature, log_q)

    def forward(
        self,
        z: Tensor,
        src_index: Tensor,
        dst_pos_index: Tensor,
        dst_neg_index: Tensor | None = None,
        log_q: Tensor | None = None,
    ) -> Tensor:
        """Returns the mean loss of the batch, a scalar."""
        shift = log_q[dst_pos_index] if self.log_q and log_q is not None else None
        if dst_neg_index is not None:
            pos, neg = self.scores(z, src_index, dst_pos_index, dst_neg_index, log_q)
            pos = pos if shift is None else pos - shift
            return self.compare(pos, neg, src_index)
        if self.cosine:
            z = F.normalize(z, dim=-1)
        src, dst = gather(z, src_index, dst_pos_index)
        with torch.autocast(src.device.type, enabled=False):
            return _InBatchSoftmax.apply(
                src / self.temperature, dst, dst_pos_index, shift
            )

    def compare(self, pos: Tensor, neg: Tensor, src_index: Tensor) -> Tensor:
        """Returns the mean loss, a scalar."""
        score = torch.cat([pos.unsqueeze(1), neg], dim=1)
        return F.cross_entropy(score, torch.zeros_like(src_index))


class _InBatchSoftmax(torch.autograd.Function):
    """Softmax over the batch's items; keeps gradients in place of scores."""

    @staticmethod
    def forward(
        ctx: Any, src: Tensor, dst: Tensor, item: Tensor, shift: Tensor | None
    ) -> Tensor:
        num, loss = src.size(0), src.new_zeros(())
        grad_src, grad_dst = torch.empty_like(src), torch.zeros_like(dst)
        column = torch.arange(num, device=src.device)
        for rows in column.split(1024):
            score = src[rows] @ dst.t()
            if shift is not None:
                score -= shift
            same = item[rows].unsqueeze(1) == item
            same[column[: rows.numel()], rows] = False
            score.masked_fill_(same, float("-inf"))
            total = score.logsumexp(1, keepdim=True)
            diagonal = column[: rows.numel()], rows
            loss += (total.view(-1) - score[diagonal]).sum()
            score.sub_(total).exp_()  # The probability of each item.
            score[diagonal] -= 1.0
            grad_src[rows] = score @ dst
            grad_dst.addmm_(score.t(), src[rows])
        ctx.save_for_backward(grad_src, grad_dst)
        return loss / num

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_src, grad_dst = ctx.saved_tensors
        grad = grad / grad_src.size(0)
        return grad_src * grad, grad_dst * grad, None, None
