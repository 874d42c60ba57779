"""One optimizer for tables with sparse and layers with dense gradients."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adam import adam

MOMENTS = ("exp_avg", "exp_avg_sq")  #: As torch calls them.


class RowAdam(Optimizer):
    r"""Adam that touches only the rows of a table that have a gradient.

    On a sparse gradient it is :class:`torch.optim.SparseAdam`, row by row
    (`"Adam: A Method for Stochastic Optimization"
    <https://arxiv.org/abs/1412.6980>`_),

    .. math::
        \mathbf{m}_r &\leftarrow \beta_1 \mathbf{m}_r + (1 - \beta_1) \mathbf{g}_r

        \mathbf{v}_r &\leftarrow \beta_2 \mathbf{v}_r + (1 - \beta_2) \mathbf{g}_r^2

        \mathbf{x}_r &\leftarrow \mathbf{x}_r - \eta \frac{\sqrt{1 - \beta_2^t}}
        {1 - \beta_1^t} \frac{\mathbf{m}_r}{\sqrt{\mathbf{v}_r} + \epsilon}

    for the rows :math:`r` of the batch. Each table is read and written once a
    step, and rows that are sorted already, as a batch's seeds are, are not sorted
    again, which is what it gains over :class:`~torch.optim.SparseAdam`.

    On a dense gradient it is :class:`torch.optim.Adam`, by torch's fused kernel. A
    parameter may have a gradient of either kind in any step: the moments and the
    number of steps :math:`t` are the same. There is no weight decay, which would touch
    every row; add it to the loss, for the rows of the batch.

    Args:
        params (iterable): Tables whose gradients are sparse, as of
            :class:`torch.nn.Embedding` with :obj:`sparse=True`, and any other
            parameters.
        lr (float, optional): The step size :math:`\eta`. (default: :obj:`1e-3`)
        betas (tuple, optional): The decay of both moments.
            (default: :obj:`(0.9, 0.999)`)
        eps (float, optional): :math:`\epsilon`. (default: :obj:`1e-8`)

    Raises:
        ValueError: If a setting is out of range, or weight decay is asked for.
        RuntimeError: If a gradient is sparse in more than its rows.

    *Cost:* O(num_rows x dim) time a step for the rows with a gradient; memory of
    2 N x dim numbers, of :obj:`float32` at least. Steps do not wait for a GPU on dense
    gradients, and once a table on sparse ones, whose rows are to be sorted.
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

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters, with settings of their own."""
        if param_group.get("weight_decay", 0.0) != 0.0:
            raise ValueError(
                "Expected no weight decay, which touches every row (got "
                f"{param_group['weight_decay']}); add it to the loss, for the rows of "
                "the batch"
            )
        super().add_param_group(param_group)

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
            dense: list[Tensor] = []
            for param in group["params"]:
                if param.grad is None:
                    continue
                if not self.state[param]:
                    self.init_state(param)
                self._grow(param)
                if param.grad.is_sparse:
                    self._update_rows(param, param.grad, group)
                else:
                    dense.append(param)
            fused = [param for param in dense if _has_fused_kernel(param)]
            rest = [param for param in dense if not _has_fused_kernel(param)]
            self._update(fused, group, fused=True)
            self._update(rest, group, fused=None)  # As torch chooses.
        return loss

    def init_state(
        self, param: Tensor, device: torch.device | str | None = None
    ) -> dict[str, Any]:
        """Makes the state of a parameter, two moments of zeros and the number of its
        steps, and returns it.
        """
        state = self.state[param]
        state["step"] = torch.zeros((), dtype=torch.float32)  # Never on a GPU.
        for name in MOMENTS:
            state[name] = torch.zeros_like(
                param, dtype=_wide(param), device=device, requires_grad=False
            )
        return state

    def _grow(self, param: Tensor) -> None:
        """Makes room for rows that were appended to a parameter since: moments of
        zeros.
        """
        state = self.state[param]
        for name in MOMENTS:
            if (num := param.size(0) - state[name].size(0)) if param.dim() else 0:
                new = state[name].new_zeros(num, *param.size()[1:])
                state[name] = torch.cat([state[name], new])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a state; moments stay as wide as they are."""
        super().load_state_dict(state_dict)
        index = [i for group in state_dict["param_groups"] for i in group["params"]]
        params = [param for group in self.param_groups for param in group["params"]]
        for i, param in zip(index, params, strict=True):
            for name in MOMENTS:
                if name in self.state.get(param, {}) and param.dtype != _wide(param):
                    moment = state_dict["state"][i][name]
                    self.state[param][name] = moment.to(param.device, _wide(param))

    def _update(
        self, params: list[Tensor], group: dict[str, Any], fused: bool | None
    ) -> None:
        """One step of ordinary Adam."""
        if not params:
            return
        states, (beta1, beta2) = [self.state[param] for param in params], group["betas"]
        tables = [param.to(_wide(param)) for param in params]
        adam(
            tables,
            [_grad_like(param).to(_wide(param)) for param in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=fused,
            has_complex=any(param.is_complex() for param in params),
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )
        for param, table in zip(params, tables, strict=True):
            if table is not param:
                param.copy_(table)

    def _update_rows(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        """One step of the rows that have a gradient."""
        if grad.sparse_dim() != 1:
            raise RuntimeError(
                "Expected a gradient that is dense or sparse in its rows (got one of "
                f"{grad.sparse_dim()} sparse dimensions); build the table as an "
                "'Embedding' with 'sparse=True'"
            )
        state, (beta1, beta2) = self.state[param], group["betas"]
        state["step"] += 1
        step = float(state["step"])
        if not grad.is_coalesced():
            index = grad._indices()[0]
            if grad.is_cuda or not bool((index[1:] > index[:-1]).all()):
                grad = grad.coalesce()
        index, row = grad._indices()[0], grad._values().to(_wide(param))
        m = state["exp_avg"].index_select(0, index).lerp_(row, 1 - beta1)
        state["exp_avg"].index_copy_(0, index, m)
        v = state["exp_avg_sq"].index_select(0, index)
        v.mul_(beta2).addcmul_(row, row, value=1 - beta2)
        state["exp_avg_sq"].index_copy_(0, index, v)
        scale = float(group["lr"]) * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        x = param.index_select(0, index).to(_wide(param))
        x.addcdiv_(m, v.sqrt_().add_(group["eps"]), value=-scale)
        param.index_copy_(0, index, x.to(param.dtype))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes over a state, of another device or an earlier version too."""
        super().__setstate__(state)
        for of_param in self.state.values():
            if "step" in of_param:
                step = float(of_param["step"])
                of_param["step"] = torch.tensor(step, dtype=torch.float32)


def _wide(param: Tensor) -> torch.dtype:
    """The type of moments: squares of small gradients are no numbers of 16 bits."""
    return torch.promote_types(param.dtype, torch.float32)


def _has_fused_kernel(param: Tensor) -> bool:
    return param.device.type == "cpu" and param.is_floating_point()


def _grad_like(param: Tensor) -> Tensor:
    """The gradient, in the order in memory that the fused kernel takes for granted."""
    grad = param.grad
    assert grad is not None
    if grad.stride() == param.stride():
        return grad
    return torch.empty_like(param).copy_(grad)
