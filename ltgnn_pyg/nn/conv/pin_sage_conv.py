import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, Module


class PinSageConv(Module):
    r"""The layer of PinSage, from `"Graph Convolutional Neural Networks for Web-Scale
    Recommender Systems" <https://arxiv.org/abs/1806.01973>`_: importance pooling.

    .. math::
        \mathbf{n}_v = \frac{\sum_{j \in \mathcal{N}(v)} w_{vj} \, \mathrm{ReLU}(Q
        \mathbf{h}_j + \mathbf{q})}{\sum_{j \in \mathcal{N}(v)} w_{vj}}, \qquad
        \mathbf{h}'_v = \mathrm{ReLU}(W [\mathbf{n}_v \| \mathbf{h}_v] + \mathbf{b}),
        \qquad \mathbf{z}_v = \frac{\mathbf{h}'_v}{\| \mathbf{h}'_v \|}

    Args:
        in_channels (int): The size of :math:`\mathbf{h}`.
        hidden_channels (int): That of :math:`\mathbf{n}`.
        out_channels (int): That of :math:`\mathbf{z}`.

    Shapes:
        :obj:`x` :math:`(N, F_{in})`, :obj:`neighbor`, :obj:`weight` :math:`(N, T)` ->
        :math:`(N, F_{out})`

    *Cost:* O(N x T x hidden_channels) time, and that of two linear layers.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int
    ) -> None:
        super().__init__()
        self.message = Linear(in_channels, hidden_channels)
        self.update = Linear(in_channels + hidden_channels, out_channels)

    def forward(self, x: Tensor, neighbor: Tensor, weight: Tensor) -> Tensor:
        """Returns the layer's output.

        Args:
            x (torch.Tensor): The nodes :math:`H`.
            neighbor (torch.Tensor): The neighbours of each node, as rows of :obj:`x`.
            weight (torch.Tensor): Their importance, not negative; 0 where a node has
                fewer neighbours.
        """
        message = F.relu(self.message(x))
        share = weight / weight.sum(1, keepdim=True).clamp(min=1e-12)
        share = share.to(message.dtype)
        pooled = F.embedding_bag(
            neighbor, message, mode="sum", per_sample_weights=share
        )
        out = F.relu(self.update(torch.cat([pooled, x], dim=-1)))
        return F.normalize(out, dim=-1)
