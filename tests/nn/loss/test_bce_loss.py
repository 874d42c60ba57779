import pytest
import torch

from ltgnn_pyg.nn.loss import BCELoss
from tests.nn.loss.batches import NEGATIVES, check, pairs


@pytest.mark.parametrize("kind", NEGATIVES)
def test_bce(z, kind):
    drawn = list(pairs(z, kind, False))
    one = torch.stack([-torch.log(torch.sigmoid(pos)) for _, pos, _ in drawn])
    zero = torch.cat([-torch.log(1 - torch.sigmoid(neg)) for _, _, neg in drawn])
    loss = BCELoss(2.0, in_batch=kind == "batch")
    check(loss, z, kind, one.mean() + 2 * zero.mean())
