from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ltgnn_pyg.nn.loss.objective import in_full

CHUNK = 1024  #: Pairs whose scores are held at once.


@torch.compiler.disable
def in_batch_softmax(
    src: Tensor,
    dst: Tensor,
    item: Tensor,
    teacher: tuple[Tensor, Tensor] | None = None,
    teacher_weight: float = 0.0,
) -> Tensor:
    r"""The cross-entropy of pairs against the items of their batch.

    .. math::
        L = - \frac{1}{B} \sum_b \sum_i t_{bi} \ln \frac{\exp s_{bi}}
        {\sum_{j} \exp s_{bj}}, \qquad
        t_{bi} = (1 - \lambda) \, \delta_{i i_b} + \lambda \, p^{T}_b(i)

    over the batch's items, the pair's own once: :math:`s_{bi} = \mathbf{u}_b^{\top}
    \mathbf{v}_i`, and :math:`p^{T}_b` the softmax of a teacher's scores. The gradient
    is computed along with the loss, so no more than the scores of :obj:`CHUNK` pairs
    are ever held.

    Args:
        src (torch.Tensor): :math:`\mathbf{u}`, the users' rows over the temperature
            :obj:`[num_pairs, dim]`.
        dst (torch.Tensor): :math:`\mathbf{v}`, the items' rows :obj:`[num_pairs, dim]`.
        item (torch.Tensor): Which item each is :obj:`[num_pairs]`.
        teacher (tuple, optional): The teacher's two sides, likewise, which get no
            gradient. (default: :obj:`None`)
        teacher_weight (float, optional): :math:`\lambda`. (default: :obj:`0.0`)

    Returns:
        A scalar, :obj:`float32` at least.

    *Cost:* O(num_pairs^2 x dim) time, O(num_pairs x (dim + CHUNK)) memory.
    """
    with torch.autocast(src.device.type, enabled=False):
        return _InBatchSoftmax.apply(src, dst, item, teacher, teacher_weight)


class _InBatchSoftmax(torch.autograd.Function):
    """Keeps gradients in place of scores."""

    @staticmethod
    def forward(
        ctx: Any,
        src: Tensor,
        dst: Tensor,
        item: Tensor,
        teacher: tuple[Tensor, Tensor] | None,
        teacher_weight: float,
    ) -> Tensor:
        types = src.dtype, dst.dtype
        src, dst = in_full(src), in_full(dst)
        loss = src.new_zeros(())
        grad_src, grad_dst = torch.empty_like(src), torch.zeros_like(dst)
        column = torch.arange(src.size(0), device=src.device)
        for rows in column.split(CHUNK):
            diagonal = column[: rows.numel()], rows
            same = item[rows].unsqueeze(1) == item
            same[diagonal] = False
            score = (src[rows] @ dst.t()).masked_fill_(same, float("-inf"))
            loss -= (1 - teacher_weight) * score[diagonal].sum()
            target = None
            if teacher is not None:
                target = teacher[0][rows] @ teacher[1].t()
                target = target.masked_fill_(same, float("-inf")).softmax(1)
                target *= teacher_weight
                loss -= (target * score.masked_fill(same, 0.0)).sum()
            top = score.amax(1, keepdim=True)
            total = score.sub_(top).exp_().sum(1, keepdim=True)
            loss += (total.log() + top).sum()
            score.div_(total)  # The probability of each item, less the target.
            score[diagonal] -= 1.0 - teacher_weight
            if target is not None:
                score -= target
            grad_src[rows] = score @ dst
            grad_dst.addmm_(score.t(), src[rows])
        num = max(src.size(0), 1)
        ctx.save_for_backward(
            grad_src.div_(num).to(types[0]), grad_dst.div_(num).to(types[1])
        )
        return loss / num

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_src, grad_dst = ctx.saved_tensors
        return grad_src * grad, grad_dst * grad, None, None, None
