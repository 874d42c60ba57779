import torch
from torch import Tensor


def history_step(x: Tensor, aggregate: Tensor, alpha: float) -> Tensor:
    r"""Takes one step for some nodes, from what their history aggregates to, as in
    `"Linear-Time Graph Neural Networks for Scalable Recommendations"
    <https://arxiv.org/abs/2402.13973>`_.

    .. math::
        \mathbf{z}_r = (1 - \alpha) \mathbf{a}_r + \alpha \mathbf{x}_r,
        \qquad
        \frac{\partial L}{\partial \mathbf{x}_r} =
        \alpha \frac{\partial L}{\partial \mathbf{z}_r}

    The gradient is exact for a history held fixed; :obj:`aggregate` gets none.

    Args:
        x (torch.Tensor): The input rows :math:`\mathbf{x}_r`,
            :obj:`[num_seeds, dim]`.
        aggregate (torch.Tensor): An estimate :math:`\mathbf{a}_r` of
            :math:`(\hat{A} Z_{hist})_r`, :obj:`[num_seeds, dim]`, as
            :class:`~ltgnn_pyg.VRNeighborLoader` delivers it.
        alpha (float): The weight of :obj:`x`, in :math:`[0, 1]`.

    Returns:
        The rows :math:`\mathbf{z}_r`, :obj:`[num_seeds, dim]`, of the type of
        :obj:`x`.

    *Cost:* O(num_seeds x dim), whatever the size of the graph.
    """
    return torch.lerp(aggregate.detach().to(x.dtype), x, alpha)
