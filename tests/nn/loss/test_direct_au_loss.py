import pytest
import torch

from ltgnn_pyg.nn.loss import DirectAULoss
from tests.nn.loss.batches import NEGATIVES, POS, SRC, check


@pytest.mark.parametrize("kind", NEGATIVES)
def test_direct_au(z, kind):
    rep = z / z.norm(dim=1, keepdim=True)
    src, pos = rep[SRC], rep[POS]
    align = torch.stack([(src[b] - pos[b]).square().sum() for b in range(4)]).mean()
    uniform = [
        torch.stack(
            [
                torch.exp(-2 * (x[b] - x[c]).square().sum())
                for b in range(4)
                for c in range(b)
            ]
        )
        .mean()
        .log()
        for x in (src, pos)
    ]
    check(DirectAULoss(0.7), z, kind, align + 0.7 * sum(uniform) / 2)
