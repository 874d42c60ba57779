import torch
import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.graph import Operator, propagate


def noisy_layers(
    first: Tensor, operator: Operator, num_layers: int, eps: float
) -> list[Tensor]:
    r"""Propagates with noise in each layer, as in `"Are Graph Augmentations
    Necessary? Simple Graph Contrastive Learning for Recommendation"
    <https://arxiv.org/abs/2112.08679>`_.

    .. math::
        \mathbf{h}^l_i = (\hat{A} H^{l-1})_i + \Delta^l_i, \qquad
        \Delta^l_i = \epsilon \, \mathrm{sign}\big( (\hat{A} H^{l-1})_i \big) \odot
        \frac{\mathbf{r}}{\| \mathbf{r} \|}, \qquad \mathbf{r} \sim U[0, 1)^d

    so noise is carried on, has the length :math:`\epsilon` and stays in the orthant. It
    has no gradient: that of a layer is the one without noise. It is drawn from torch's
    global generator.

    Args:
        first (torch.Tensor): :math:`\hat{A} H^0`, the first layer without its noise
            :obj:`[num_nodes, dim]`.
        operator (Operator): :math:`\hat{A}`.
        num_layers (int): The number of layers.
        eps (float): :math:`\epsilon`; with 0, nothing is drawn.

    Returns:
        :math:`H^1, \ldots, H^L`, a table :obj:`[num_nodes, dim]` each.

    *Cost:* O(num_layers x E x dim) time, one product less; a table a layer.
    """
    out = [_perturb(first, eps)]
    while len(out) < num_layers:
        out.append(_perturb(propagate(operator, out[-1]), eps))
    return out


def _perturb(h: Tensor, eps: float) -> Tensor:
    if eps == 0.0:
        return h
    with torch.no_grad():
        noise = torch.rand(h.size(), dtype=h.dtype, device=h.device)
        noise = F.normalize(noise, dim=-1, out=noise).mul_(h.sign())
    return torch.add(h, noise, alpha=eps)
