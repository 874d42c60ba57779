import time
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
        src, dst, item = in_full(src), in_full(dst), item.int()
        low = score_dtype(src) if teacher is None else src.dtype
        low_src, low_dst = src.to(low), dst.to(low)
        # The pair's own column stays apart, in full: scores, and gradients.
        own = (src * dst).sum(1)
        loss = (teacher_weight - 1.0) * own.sum()
        grad_src, grad_dst = torch.empty_like(src), torch.zeros_like(dst)
        column = torch.arange(src.size(0), device=src.device)
        for rows in column.split(CHUNK):
            diagonal = column[: rows.numel()], rows
            same = item[rows].unsqueeze(1) == item
            score = (low_src[rows] @ low_dst.t()).masked_fill_(same, float("-inf"))
            if teacher is not None:
                same[diagonal] = False
                target = teacher[0][rows] @ teacher[1].t()
                target = target.masked_fill_(same, float("-inf")).softmax(1)
                target *= teacher_weight
                score[diagonal] = own[rows]
                loss -= (target * score.masked_fill(same, 0.0)).sum()
                score[diagonal] = float("-inf")
            top = torch.maximum(score.amax(1).to(own.dtype), own[rows])
            weight = score.sub_(top.to(low).unsqueeze(1)).exp_()
            top, own_weight = top.to(low).to(own.dtype), own[rows]
            own_weight = own_weight.sub(top).exp_()
            total = weight.sum(1).to(own.dtype) + own_weight
            loss += (total.log() + top).sum()
            # The probability of each item, less the target.
            part = (own_weight / total - (1.0 - teacher_weight)).unsqueeze(1)
            total = total.unsqueeze(1)
            if teacher is not None:
                weight, total = weight.div_(total).sub_(target), torch.ones_like(total)
            grad_src[rows] = (weight @ low_dst).to(src.dtype) / total + part * dst[rows]
            grad_dst += weight.t() @ (src[rows] / total).to(low)
            grad_dst[rows] += part * src[rows]
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


_fastest: dict[torch.device, torch.dtype] = {}


def score_dtype(src: Tensor) -> torch.dtype:
    """What scores are computed in: :obj:`torch.bfloat16` for large batches of
    :obj:`torch.float32` where that is clearly faster, as the first one measures.
    """
    if src.dtype != torch.float32 or src.size(0) < 512:
        return src.dtype
    if src.device not in _fastest:
        full, low = (_seconds(src[:512].to(t)) for t in (torch.float32, torch.bfloat16))
        _fastest[src.device] = torch.bfloat16 if low < 0.7 * full else torch.float32
    return _fastest[src.device]


def _seconds(x: Tensor) -> float:
    """The least of some times of a product."""
    least = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        x @ x.t()
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        least = min(least, time.perf_counter() - start)
    return least
