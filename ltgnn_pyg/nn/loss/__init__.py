r"""Training objectives, one signature: :obj:`loss_fn(z, batch) -> Tensor`.

:obj:`z` :obj:`[num_seeds, dim]` holds the embeddings of :obj:`batch.n_id[:num_seeds]`,
each distinct node once. The batch says what is compared:

* :obj:`src_index`, :obj:`dst_pos_index` :obj:`[num_pairs]`: the pairs, as positions in
  :obj:`n_id`;
* :obj:`dst_neg_index` :obj:`[num_pairs]`, :obj:`[num_pairs, amount]` or
  :obj:`[1, amount]` shared by the batch: drawn negatives. Without it the other positive
  items serve, for objectives with :obj:`in_batch`;
* :obj:`log_q` :obj:`[num_seeds]`, optional: the logarithm of how likely each node is
  drawn as a negative, where not all are alike.

What an objective is to know of the whole graph it learns before training:
:meth:`Objective.prepare`. What it leaves out of the score of an item, it says itself:
:meth:`Objective.item_bias`.
"""

from ltgnn_pyg.nn.loss.bce_loss import BCELoss
from ltgnn_pyg.nn.loss.bilateral_softmax_loss import BilateralSoftmaxLoss
from ltgnn_pyg.nn.loss.bpr_loss import BPRLoss
from ltgnn_pyg.nn.loss.cosine_contrastive_loss import CosineContrastiveLoss
from ltgnn_pyg.nn.loss.direct_au_loss import DirectAULoss
from ltgnn_pyg.nn.loss.distillation_loss import DistillationLoss
from ltgnn_pyg.nn.loss.egcf_loss import EGCFLoss
from ltgnn_pyg.nn.loss.guided_softmax_loss import GuidedSoftmaxLoss
from ltgnn_pyg.nn.loss.hard_negatives import HardNegatives
from ltgnn_pyg.nn.loss.info_nce import info_nce
from ltgnn_pyg.nn.loss.margin_loss import MarginLoss
from ltgnn_pyg.nn.loss.objective import Objective
from ltgnn_pyg.nn.loss.psl_loss import (
    PSLLoss,
    atan_surrogate,
    relu_surrogate,
    tanh_surrogate,
)
from ltgnn_pyg.nn.loss.ranking_loss import RankingLoss
from ltgnn_pyg.nn.loss.softmax_at_k_loss import SoftmaxAtKLoss
from ltgnn_pyg.nn.loss.softmax_loss import SoftmaxLoss
from ltgnn_pyg.nn.loss.ultra_gcn_loss import UltraGCNLoss

__all__ = [
    "BCELoss",
    "BPRLoss",
    "BilateralSoftmaxLoss",
    "CosineContrastiveLoss",
    "DirectAULoss",
    "DistillationLoss",
    "EGCFLoss",
    "GuidedSoftmaxLoss",
    "HardNegatives",
    "MarginLoss",
    "Objective",
    "PSLLoss",
    "RankingLoss",
    "SoftmaxAtKLoss",
    "SoftmaxLoss",
    "atan_surrogate",
    "info_nce",
    "relu_surrogate",
    "tanh_surrogate",
    "UltraGCNLoss",
]
