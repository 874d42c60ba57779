from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class RowAdam(Optimizer):
    r"""Adam that touches only the rows of a table that have a gradient.

    The update of :class:`torch.optim.SparseAdam`, row by row
    (`"Adam: A Method for Stochastic Optimization"
    <https://arxiv.org/abs/1412.6980>`_), on sparse gradients:

    .. math::
        \mathbf{m}_r &\leftarrow \beta_1 \mathbf{m}_r + (1 - \beta_1) \mathbf{g}_r

        \mathbf{v}_r &\leftarrow \beta_2 \mathbf{v}_r + (1 - \beta_2) \mathbf{g}_r^2

        \mathbf{x}_r &\leftarrow \mathbf{x}_r - \eta \frac{\sqrt{1 - \beta_2^t}}
        {1 - \beta_1^t} \frac{\mathbf{m}_r}{\sqrt{\mathbf{v}_r} + \epsilon}

    for the rows :math:`r` of the batch. Each table is read and written once a
    step, and rows that are sorted already, as a batch's seeds are, are not sorted
    again, which is what it gains over :class:`~torch.optim.SparseAdam`.

    Args:
        params (iterable): Tables whose gradients are sparse, as of
            :class:`torch.nn.Embedding` with :obj:`sparse=True`.
        lr (float, optional): The step size :math:`\eta`. (default: :obj:`1e-3`)
        betas (tuple, optional): The decay of both moments.
            (default: :obj:`(0.9, 0.999)`)
        eps (float, optional): :math:`\epsilon`. (default: :obj:`1e-8`)

    Raises:
        ValueError: If a setting is out of range.
        RuntimeError: If a gradient is dense.

    *Cost:* O(num_rows x dim) time a step for the rows with a gradient; memory of
    2 N x dim numbers.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not (lr > 0.0 and eps > 0.0 and all(0.0 <= b < 1.0 for b in betas)):
            raise ValueError(
                f"Expected positive 'lr' and 'eps' and 'betas' in [0, 1) (got {lr}, "
                f"{eps} and {betas})"
            )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the rows that have a gradient.

        Args:
            closure (callable, optional): Evaluates the loss again.
                (default: :obj:`None`)
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, param.grad, group)
        return loss

    def init_state(
        self, param: Tensor, device: torch.device | str | None = None
    ) -> dict[str, Any]:
        """Makes the state of a table, two moments of zeros, and returns it."""
        state = self.state[param]
        state["step"] = 0
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = torch.zeros_like(param, device=device, requires_grad=False)
        return state

    def _update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        if not grad.is_sparse:
            raise RuntimeError(
                "Expected a sparse gradient (got a dense one); build the embedding "
                "with 'sparse=True', or use 'torch.optim.Adam'"
            )
        state = self.state[param] or self.init_state(param)
        state["step"] += 1
        step, (beta1, beta2) = state["step"], group["betas"]

        index, row = grad._indices()[0], grad._values()
        if not bool((index[1:] > index[:-1]).all()):
            grad = grad.coalesce()
            index, row = grad.indices()[0], grad.values()
        m = state["exp_avg"].index_select(0, index).lerp_(row, 1 - beta1)
        state["exp_avg"].index_copy_(0, index, m)
        v = state["exp_avg_sq"].index_select(0, index)
        v.mul_(beta2).addcmul_(row, row, value=1 - beta2)
        state["exp_avg_sq"].index_copy_(0, index, v)
        scale = group["lr"] * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        x = param.index_select(0, index)
        x.addcdiv_(m, v.sqrt_().add_(group["eps"]), value=-scale)
        param.index_copy_(0, index, x)
