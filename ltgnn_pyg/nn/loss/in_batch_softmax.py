from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.nn.loss.objective import in_full

CHUNK = 1024  #: Pairs whose scores are held at once.
FEW = 128  #: With a surrogate, of many steps: a cache should hold what they need.
LARGEST = 40.0  #: Scores whose exponentials add up in `float32`.
Teacher = Callable[[slice], Tensor]  #: Of users of pairs, for their items.
SMALLEST = 1e-30  #: The least that a teacher expects of all items together.


@torch.compiler.disable
def in_batch_softmax(
    src: Tensor,
    dst: Tensor,
    item: Tensor,
    bound: float | None = None,
    teacher: Teacher | None = None,
    teacher_weight: float = 0.0,
    surrogate: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
    weigh: Callable[[Tensor, Tensor], Tensor] | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    r"""The cross-entropy of pairs against the items of their batch.

    .. math::
        L = - \frac{1}{B} \sum_b w_b \sum_i t_{bi} \ln \frac{\exp s_{bi}}
        {\sum_{j} \exp s_{bj}}, \qquad
        t_{bi} = (1 - \lambda) \, \delta_{i i_b} + \lambda \, p^{T}_b(i)

    over the batch's items, the pair's own once: :math:`s_{bi} = \mathbf{u}_b^{\top}
    \mathbf{v}_i`, and :math:`p^{T}_b` what a teacher expects. The gradient is computed
    along with the loss, so no more than the scores of :obj:`CHUNK` pairs are ever held,
    and a teacher is asked about the items of those alone: a sample of the batch's.

    Args:
        src (torch.Tensor): :math:`\mathbf{u}`, the users' rows over the temperature
            :obj:`[num_pairs, dim]`.
        dst (torch.Tensor): :math:`\mathbf{v}`, the items' rows :obj:`[num_pairs, dim]`.
        item (torch.Tensor): The number of each item :obj:`[num_pairs]`.
        bound (float, optional): The largest size of a score, or of :math:`f` below,
            such as the inverse temperature for cosines. Scores of a small one need no
            maximum first, and may be rounded. (default: :obj:`None`)
        teacher (callable, optional): Returns, of a slice of pairs, what their users
            expect of their items :obj:`[num, num]`, at least 0 and to be written to:
            :math:`p^{T}` but for the sums of its rows. (default: :obj:`None`)
        teacher_weight (float, optional): :math:`\lambda`. (default: :obj:`0.0`)
        surrogate (callable, optional): Returns :math:`f(d)` and :math:`f'(d)` of the
            differences :math:`d = s_{bj} - s_{b i_b}`; :math:`f` then stands for
            :math:`s_{bj}`, and 0 for the pair's own score. (default: :obj:`None`)
        weigh (callable, optional): Returns the weights :math:`w_b` of some pairs, which
            get no gradient, given their own scores :obj:`[num]` and those of all items
            :obj:`[num, num_pairs]`, :obj:`-inf` where they are the pair's own. If
            :obj:`None`, :math:`w_b = 1`. (default: :obj:`None`)
        weight (torch.Tensor, optional): A factor of :math:`w_b` for each pair
            :obj:`[num_pairs]`, without gradient. If :obj:`None`, ones.
            (default: :obj:`None`)

    Returns:
        A scalar, :obj:`float32` at least.

    *Cost:* O(num_pairs^2 x dim) time, O(num_pairs x (dim + CHUNK)) memory.
    """
    options = bound, teacher, teacher_weight, surrogate, weigh, weight
    with torch.autocast(src.device.type, enabled=False):
        return _InBatchSoftmax.apply(src, dst, item, *options)


class _InBatchSoftmax(torch.autograd.Function):
    """Keeps gradients in place of scores."""

    @staticmethod
    def forward(
        ctx: Any,
        src: Tensor,
        dst: Tensor,
        item: Tensor,
        bound: float | None,
        teacher: Teacher | None,
        teacher_weight: float,
        surrogate: Callable[[Tensor], tuple[Tensor, Tensor]] | None,
        weigh: Callable[[Tensor, Tensor], Tensor] | None,
        weight: Tensor | None,
    ) -> Tensor:
        types = src.dtype, dst.dtype
        factor = None if weight is None else weight.to(in_full(src).dtype)
        src, dst = in_full(src), in_full(dst)
        # What is bounded needs no maximum, and keeps its differences when rounded.
        bounded = bound is not None and bound <= LARGEST
        low = score_dtype(src) if bounded else src.dtype
        low_src, low_dst = src.to(low), dst.to(low)
        # The pair's own column stays apart, in full: scores, and gradients.
        all_own = (src * dst).sum(1)
        loss = all_own.new_zeros(())
        grad_src, grad_dst = torch.empty_like(src), torch.zeros_like(dst)
        size = CHUNK if surrogate is None else FEW
        # How many columns are a pair's own item a GPU would have to wait for.
        groups = None if src.is_cuda else _groups(item)
        for start in range(0, src.size(0), size):
            block = slice(start, min(start + size, src.size(0)))
            own, score = all_own[block], low_src[block] @ low_dst.t()
            target, slope = None, None
            each: Any = 0.0  # The loss of each pair.
            if teacher is not None:
                target = teacher(block)
                diagonal = target.diagonal().clone()
                target.masked_fill_(item[block].unsqueeze(1) == item[block], 0.0)
                target.diagonal().copy_(diagonal)
                all_of_it = target.sum(1, keepdim=True).clamp_(min=SMALLEST)
                target *= teacher_weight / all_of_it
                each = -(target * score[:, block]).sum(1)
            if surrogate is not None:
                score, slope = surrogate(score.to(own.dtype).sub_(own.unsqueeze(1)))
                own = torch.zeros_like(own)
            if groups is None:
                score.masked_fill_(item[block].unsqueeze(1) == item, float("-inf"))
            else:
                rows = torch.arange(block.start, block.stop, device=src.device)
                score.view(-1)[_own_columns(rows, *groups)] = float("-inf")
            pair_weight = None if weigh is None else weigh(own, score)
            if factor is not None:
                given = factor[block]
                pair_weight = given if pair_weight is None else pair_weight * given
            top = torch.zeros_like(own)
            if not bounded:
                top = torch.maximum(score.amax(1), own)
                score -= top.unsqueeze(1)
            weight = score.exp_()
            own_weight = (own - top).exp_()
            total = weight.sum(1).to(own.dtype) + own_weight
            each = each + total.log() + top - (1.0 - teacher_weight) * own
            # The probability of each item, less the target.
            scale, part = total.reciprocal(), own_weight / total
            part -= 1.0 - teacher_weight
            if target is not None:
                weight[:, block] -= (target * total.unsqueeze(1)).to(weight.dtype)
            if slope is not None:
                weight = weight.mul_(slope)
                part = -scale * weight.sum(1)
                weight = weight.to(low)
            if pair_weight is not None:
                scale, part = scale * pair_weight, part * pair_weight
                each = each * pair_weight
            loss += each.sum()
            scale, part = scale.unsqueeze(1), part.unsqueeze(1)
            of_all = (weight @ low_dst).to(src.dtype)
            grad_src[block] = scale * of_all + part * dst[block]
            grad_dst += weight.t() @ (scale * src[block]).to(low)
            grad_dst[block] += part * src[block]
        num = max(src.size(0), 1)
        ctx.save_for_backward(
            grad_src.div_(num).to(types[0]), grad_dst.div_(num).to(types[1])
        )
        return loss / num

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_src, grad_dst = ctx.saved_tensors
        return grad_src * grad, grad_dst * grad, *(None,) * 7


def _groups(item: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs, sorted by item; where those of an item start; the item of a pair."""
    _, group, count = item.unique(return_inverse=True, return_counts=True)
    return group.argsort(), F.pad(count.cumsum(0), (1, 0)), group


def _own_columns(rows: Tensor, order: Tensor, ptr: Tensor, group: Tensor) -> Tensor:
    """The places of the pairs' own items in the scores of some pairs."""
    start, count = ptr[group[rows]], ptr.diff()[group[rows]]
    row = torch.arange(rows.numel(), device=count.device).repeat_interleave(count)
    place = torch.arange(row.numel(), device=count.device)
    place -= (count.cumsum(0) - count)[row]
    return row * group.numel() + order[start[row] + place]


def score_dtype(src: Tensor) -> torch.dtype:
    """The type that bounded scores are computed in: :obj:`torch.bfloat16` for large
    batches of :obj:`torch.float32` where the hardware multiplies it faster, as tiles
    of a CPU (AMX) and tensor cores of a GPU do. Without tiles it takes a CPU twice to
    seven times as long.
    """
    if src.dtype != torch.float32 or src.size(0) < 512:
        return src.dtype
    name = kernels.take(
        f"scores of a softmax on {src.device.type}",
        lambda: "bfloat16" if _multiplies_bfloat16(src.device) else "float32",
        lambda name: name in ("bfloat16", "float32"),
    )
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    """True if there is hardware for products of :obj:`torch.bfloat16`."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return wide and torch.cpu._is_amx_tile_supported()
