import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ltgnn_pyg.nn.loss.objective import in_full

CHUNK = 1024  #: Pairs whose scores are held at once.
LARGEST = 40.0  #: Scores whose exponentials add up in `float32`.


@torch.compiler.disable
def in_batch_softmax(
    src: Tensor,
    dst: Tensor,
    item: Tensor,
    bound: float | None = None,
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
        bound (float, optional): What no score exceeds in size, such as the inverse
            temperature for cosines. Scores of a small one need no maximum first, and
            may be rounded. (default: :obj:`None`)
        teacher (tuple, optional): The teacher's two sides, likewise, which get no
            gradient. (default: :obj:`None`)
        teacher_weight (float, optional): :math:`\lambda`. (default: :obj:`0.0`)

    Returns:
        A scalar, :obj:`float32` at least.

    *Cost:* O(num_pairs^2 x dim) time, O(num_pairs x (dim + CHUNK)) memory.
    """
    with torch.autocast(src.device.type, enabled=False):
        return _InBatchSoftmax.apply(src, dst, item, bound, teacher, teacher_weight)


class _InBatchSoftmax(torch.autograd.Function):
    """Keeps gradients in place of scores."""

    @staticmethod
    def forward(
        ctx: Any,
        src: Tensor,
        dst: Tensor,
        item: Tensor,
        bound: float | None,
        teacher: tuple[Tensor, Tensor] | None,
        teacher_weight: float,
    ) -> Tensor:
        types = src.dtype, dst.dtype
        src, dst = in_full(src), in_full(dst)
        # What is bounded needs no maximum, and keeps its differences when rounded.
        bounded = bound is not None and bound <= LARGEST
        low = score_dtype(src) if bounded else src.dtype
        low_src, low_dst = src.to(low), dst.to(low)
        # The pair's own column stays apart, in full: scores, and gradients.
        own = (src * dst).sum(1)
        loss = (teacher_weight - 1.0) * own.sum()
        grad_src, grad_dst = torch.empty_like(src), torch.zeros_like(dst)
        column = torch.arange(src.size(0), device=src.device)
        # How many columns are a pair's own item a GPU would have to wait for.
        groups = None if src.is_cuda else _groups(item)
        for rows in column.split(CHUNK):
            score, target = low_src[rows] @ low_dst.t(), None
            if teacher is not None:
                others = item[rows].unsqueeze(1) == item
                others[column[: rows.numel()], rows] = False
                target = teacher[0][rows] @ teacher[1].t()
                target = target.masked_fill_(others, float("-inf")).softmax(1)
                target *= teacher_weight
                loss -= (target * score).sum()
            top = own.new_zeros(rows.numel())
            if not bounded:
                top = score.amax(1)
                score -= top.unsqueeze(1)
            weight = score.exp_()
            if groups is None:
                weight.masked_fill_(item[rows].unsqueeze(1) == item, 0.0)
            else:
                weight.view(-1)[_own_columns(rows, *groups)] = 0.0
            own_weight = (own[rows] - top).exp_()
            total = weight.sum(1).to(own.dtype) + own_weight
            loss += (total.log() + top).sum()
            # The probability of each item, less the target.
            part = (own_weight / total - (1.0 - teacher_weight)).unsqueeze(1)
            total = total.unsqueeze(1)
            if target is not None:
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
        return grad_src * grad, grad_dst * grad, None, None, None, None


def _groups(item: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs, sorted by item; where those of an item start; the item of a pair."""
    _, group, count = item.unique(return_inverse=True, return_counts=True)
    return group.argsort(), F.pad(count.cumsum(0), (1, 0)), group


def _own_columns(rows: Tensor, order: Tensor, ptr: Tensor, group: Tensor) -> Tensor:
    """Where the columns of a pair's own item are in the scores of some pairs."""
    start, count = ptr[group[rows]], ptr.diff()[group[rows]]
    row = torch.arange(rows.numel()).repeat_interleave(count)
    place = torch.arange(row.numel()) - (count.cumsum(0) - count)[row]
    return row * group.numel() + order[start[row] + place]


_fastest: dict[torch.device, torch.dtype] = {}


def score_dtype(src: Tensor) -> torch.dtype:
    """What bounded scores are computed in: :obj:`torch.bfloat16` for large batches of
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
