import pytest
import torch

from ltgnn_pyg.nn.loss import MarginLoss
from tests.nn.loss.batches import NEGATIVES, check, pairs


@pytest.mark.parametrize("kind", NEGATIVES)
def test_margin(z, log_q, kind):
    terms = [
        torch.clamp(s - pos + 0.3, min=0.0)
        for _, pos, neg in pairs(z, kind, True)
        for s in neg
    ]
    loss = MarginLoss(0.3, in_batch=kind == "batch")
    check(loss, z, kind, torch.stack(terms).mean(), log_q)  # Is no density ratio.
