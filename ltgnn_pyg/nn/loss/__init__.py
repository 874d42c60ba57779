r"""Training objectives, one signature: :obj:`loss(z, src_index, dst_pos_index,
dst_neg_index, log_q) -> Tensor`.

:obj:`z` :obj:`[num_nodes, dim]` holds each distinct node of the batch once; the
indices :obj:`[batch_size]` point into it. Negatives come as :obj:`[batch_size]`,
:obj:`[batch_size, amount]`, :obj:`[1, amount]` shared by the batch, or
:obj:`None`: then the other positive items of the batch serve. :obj:`log_q`
:obj:`[num_nodes]`, optional, tells how often each row is drawn as a negative. An
objective with a positive :obj:`teacher_weight` is given the rows of a teacher too, as
:obj:`teacher`.
"""

from ltgnn_pyg.nn.loss.bce_loss import BCELoss
from ltgnn_pyg.nn.loss.bilateral_softmax_loss import BilateralSoftmaxLoss
from ltgnn_pyg.nn.loss.bpr_loss import BPRLoss
from ltgnn_pyg.nn.loss.cosine_contrastive_loss import CosineContrastiveLoss
from ltgnn_pyg.nn.loss.direct_au_loss import DirectAULoss
from ltgnn_pyg.nn.loss.hard_negatives import HardNegatives
from ltgnn_pyg.nn.loss.margin_loss import MarginLoss
from ltgnn_pyg.nn.loss.softmax_loss import SoftmaxLoss

__all__ = [
    "BCELoss",
    "BPRLoss",
    "BilateralSoftmaxLoss",
    "CosineContrastiveLoss",
    "DirectAULoss",
    "HardNegatives",
    "MarginLoss",
    "SoftmaxLoss",
]
