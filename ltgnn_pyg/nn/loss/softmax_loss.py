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

    A teacher, a larger model trained before, makes it *distillation* (`"Distilling
    the Knowledge in a Neural Network" <https://arxiv.org/abs/1503.02531>`_): the
    target is no longer the pair's item alone but
    :math:`(1 - \lambda) \, \delta_{i i_b} + \lambda \, p^{T}_b(i)`, with
    :math:`p^{T}_b` the same softmax, at the same temperature, of the teacher's rows.
    They are those of :obj:`data.teacher`, of all nodes, which the loader hands on
    batch by batch:

    .. code-block:: python

        with torch.no_grad():  # Without the column of popularity.
            data.teacher = teacher.get_embedding()[:, : teacher.embedding_dim]
        student = LTGNN(num_users, num_items, loss_fn=SoftmaxLoss(teacher_weight=0.8))

    Args:
        temperature (float, optional): :math:`\tau`. (default: :obj:`0.12`)
        cosine (bool, optional): Scores by cosine; otherwise by inner product.
            (default: :obj:`True`)
        log_q (bool, optional): Corrects for :math:`q` where the batch tells it, as
            those of :class:`~ltgnn_pyg.VRNeighborLoader` do.
            (default: :obj:`False`)
        teacher_weight (float, optional): :math:`\lambda` in :math:`[0, 1]`; 0 is
            without a teacher. (default: :obj:`0.0`)

    Raises:
        ValueError: If :obj:`temperature` is not positive, :obj:`teacher_weight` out of
            its range, or there is no teacher to weigh.

    *Cost:* O(batch_size x amount x dim) time, with :obj:`amount = batch_size` in the
    batch; there memory is O(batch_size x (dim + 1024)), and the gradient is computed
    along with the loss. A teacher adds a product of its own size.
    """

    def __init__(
        self,
        temperature: float = 0.12,
        cosine: bool = True,
        log_q: bool = False,
        teacher_weight: float = 0.0,
    ) -> None:
        super().__init__(cosine, temperature, log_q)
        if not 0.0 <= teacher_weight <= 1.0:
            raise ValueError(
                f"Expected 'teacher_weight' in [0, 1] (got {teacher_weight})"
            )
        self.teacher_weight = teacher_weight

    def forward(
        self,
        z: Tensor,
        src_index: Tensor,
        dst_pos_index: Tensor,
        dst_neg_index: Tensor | None = None,
        log_q: Tensor | None = None,
        teacher: Tensor | None = None,
    ) -> Tensor:
        """Returns the mean loss of the batch, a scalar; :obj:`teacher` holds the
        teacher's rows of the same nodes as :obj:`z`.
        """
        if self.teacher_weight == 0.0:
            teacher = None
        elif teacher is None:
            raise ValueError(
                f"Expected a teacher's rows for teacher_weight={self.teacher_weight} "
                "(got none); set 'data.teacher' before the loader is built"
            )
        elif dst_neg_index is not None:
            raise ValueError(
                "Expected the batch's items as negatives beside a teacher (got drawn "
                "ones); build the loader without 'neg_sampling'"
            )
        shift = log_q[dst_pos_index] if self.log_q and log_q is not None else None
        if dst_neg_index is not None:
            pos, neg = self.scores(z, src_index, dst_pos_index, dst_neg_index, log_q)
            pos = pos if shift is None else pos - shift
            return self.compare(pos, neg, src_index)
        sides: list[Tensor | None] = []
        for rows in (z, teacher):
            if rows is None:
                sides += [None, None]
                continue
            rows = F.normalize(rows, dim=-1) if self.cosine else rows
            src, dst = gather(rows, src_index, dst_pos_index)
            sides += [src / self.temperature, dst]
        with torch.autocast(z.device.type, enabled=False):
            return _InBatchSoftmax.apply(
                *sides, self.teacher_weight, dst_pos_index, shift
            )

    def extra_repr(self) -> str:
        """The settings."""
        return f"{super().extra_repr()}, teacher_weight={self.teacher_weight}"

    def compare(self, pos: Tensor, neg: Tensor, src_index: Tensor) -> Tensor:
        """Returns the mean loss, a scalar."""
        score = torch.cat([pos.unsqueeze(1), neg], dim=1)
        return F.cross_entropy(score, torch.zeros_like(src_index))


class _InBatchSoftmax(torch.autograd.Function):
    """Softmax over the batch's items; keeps gradients in place of scores."""

    @staticmethod
    def forward(
        ctx: Any,
        src: Tensor,
        dst: Tensor,
        teacher_src: Tensor | None,
        teacher_dst: Tensor | None,
        teacher_weight: float,
        item: Tensor,
        shift: Tensor | None,
    ) -> Tensor:
        num, loss = src.size(0), src.new_zeros(())
        grad_src, grad_dst = torch.empty_like(src), torch.zeros_like(dst)
        column = torch.arange(num, device=src.device)
        for rows in column.split(1024):
            diagonal = column[: rows.numel()], rows
            same = item[rows].unsqueeze(1) == item
            same[diagonal] = False
            score = _scores(src[rows], dst, shift, same)
            total = score.logsumexp(1, keepdim=True)
            loss += total.sum() - (1 - teacher_weight) * score[diagonal].sum()
            target = None
            if teacher_src is not None and teacher_dst is not None:
                target = _scores(teacher_src[rows], teacher_dst, shift, same).softmax(1)
                target *= teacher_weight
                loss -= (target * score.masked_fill(same, 0.0)).sum()
            score.sub_(total).exp_()  # The probability of each item, less the target.
            score[diagonal] -= 1.0 - teacher_weight
            if target is not None:
                score -= target
            grad_src[rows] = score @ dst
            grad_dst.addmm_(score.t(), src[rows])
        ctx.save_for_backward(grad_src, grad_dst)
        return loss / num

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_src, grad_dst = ctx.saved_tensors
        grad = grad / grad_src.size(0)
        return grad_src * grad, grad_dst * grad, None, None, None, None, None


def _scores(src: Tensor, dst: Tensor, shift: Tensor | None, same: Tensor) -> Tensor:
    """The logits of the batch's items, but where a pair's own stands again."""
    score = src @ dst.t()
    if shift is not None:
        score -= shift
    return score.masked_fill_(same, float("-inf"))
