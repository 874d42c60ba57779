import torch
import torch.nn.functional as F
from torch import Tensor

from ltgnn_pyg.batch import PairBatch
from ltgnn_pyg.nn.loss.in_batch_softmax import in_batch_softmax


def info_nce(one: Tensor, two: Tensor, batch: PairBatch, temperature: float) -> Tensor:
    r"""The InfoNCE loss of `"Representation Learning with Contrastive Predictive
    Coding" <https://arxiv.org/abs/1807.03748>`_ between two views of a batch: each
    node is to be told from the others of its kind.

    .. math::
        L = - \sum_{V \in \{ U_B, I_B \}} \frac{1}{|V|} \sum_{v \in V} \ln \frac{\exp
        (\cos(\mathbf{z}'_v, \mathbf{z}''_v) / \tau)}{\sum_{w \in V} \exp
        (\cos(\mathbf{z}'_v, \mathbf{z}''_w) / \tau)}

    over the distinct users :math:`U_B` and positive items :math:`I_B` of the batch.

    Args:
        one (torch.Tensor): The first view :math:`\mathbf{z}'` of the batch's seeds
            :obj:`[num_seeds, dim]`.
        two (torch.Tensor): The second view :math:`\mathbf{z}''`, likewise.
        batch (PairBatch): The batch.
        temperature (float): :math:`\tau`.

    Returns:
        A scalar.

    *Cost:* O(num_seeds^2 x dim) time; the gradient is computed along with the loss, so
    that memory is O(num_seeds x dim) and the scores of a chunk.
    """
    loss = one.new_zeros(())
    for index in (batch.src_index.unique(), batch.dst_pos_index.unique()):
        src, dst = (F.normalize(F.embedding(index, z), dim=-1) for z in (one, two))
        each = torch.arange(index.numel(), device=index.device)
        src = src / temperature
        loss = loss + in_batch_softmax(src, dst, each, 1.0 / temperature)
    return loss
