import pytest
import torch

from ltgnn_pyg.nn.loss import CosineContrastiveLoss
from tests.nn.loss.batches import NEGATIVES, check, pairs


@pytest.mark.parametrize("kind", NEGATIVES)
def test_cosine_contrastive(z, log_q, kind):
    drawn = list(pairs(z, kind, True))
    one = torch.stack([1 - pos for _, pos, _ in drawn])
    rest = torch.cat([torch.clamp(neg - 0.1, min=0.0) for _, _, neg in drawn])
    loss = CosineContrastiveLoss(0.1, 5.0, in_batch=kind == "batch")
    check(loss, z, kind, one.mean() + 5 * rest.mean(), log_q)
