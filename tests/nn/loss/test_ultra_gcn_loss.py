import math

import pytest
import torch
from torch.autograd import gradcheck

from ltgnn_pyg.batch import MicroBatch
from ltgnn_pyg.nn import BCELoss, UltraGCNLoss

NEGATIVES = {
    "one": torch.tensor([4, 5, 6, 6]),
    "many": torch.tensor([[4, 6], [5, 3], [6, 4], [6, 5]]),
    "shared": torch.tensor([[6, 4, 5]]),
}


def make_batch(kind, **kwargs):
    return MicroBatch(
        n_id=torch.arange(7),
        num_seeds=7,
        src_index=torch.tensor([0, 1, 0, 2]),
        dst_pos_index=torch.tensor([3, 4, 5, 3]),
        dst_neg_index=NEGATIVES[kind],
        **kwargs,
    )


@pytest.mark.parametrize("kind", NEGATIVES)
def test_pair_by_pair(z, kind):
    degree = torch.tensor([3.0, 1.0, 2.0, 5.0, 1.0, 4.0, 0.0])
    batch = make_batch(kind, degree=degree)
    w1, w2, w3, w4, w = weights = 0.1, 0.7, 0.2, 0.9, 30.0
    expected = 0.0
    for b in range(4):
        u, i = int(batch.src_index[b]), int(batch.dst_pos_index[b])
        js = NEGATIVES[kind].view(1 if kind == "shared" else 4, -1)
        js = js[0 if kind == "shared" else b].tolist()
        beta_u = math.sqrt(degree[u] + 1) / degree[u]
        beta = (degree + 1).rsqrt()
        of_pos = w1 + w2 * beta_u * beta[i]
        expected = expected - of_pos * torch.sigmoid(z[u] @ z[i]).log() / 4
        for j in js:
            of_neg = w / len(js) * (w3 + w4 * beta_u * beta[j])
            expected = expected - of_neg * torch.sigmoid(-z[u] @ z[j]).log() / 4
    loss_fn = UltraGCNLoss(*weights)
    torch.testing.assert_close(loss_fn(z, batch), expected)
    assert gradcheck(lambda z: loss_fn(z, batch), z)


@pytest.mark.parametrize("kind", NEGATIVES)
def test_without_degrees_it_is_weighted_bce(z, kind):
    batch = make_batch(kind, degree=torch.arange(7.0))
    loss_fn = UltraGCNLoss(1.0, 0.0, 1.0, 0.0, negative_weight=20.0)
    torch.testing.assert_close(loss_fn(z, batch), BCELoss(20.0)(z, batch))


def test_refused(z):
    with pytest.raises(ValueError, match="'UltraGCN'"):
        UltraGCNLoss()(z, make_batch("one"))
    batch = make_batch("one", degree=torch.ones(7))
    del batch.dst_neg_index
    with pytest.raises(ValueError, match="drawn negatives"):
        UltraGCNLoss()(z, batch)
    with pytest.raises(ValueError, match="at least 0"):
        UltraGCNLoss(w4=-1.0)
    with pytest.raises(NotImplementedError):
        UltraGCNLoss().compare(z, z, z)
