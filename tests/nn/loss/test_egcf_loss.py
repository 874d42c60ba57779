import pytest
import torch
from torch.autograd import gradcheck

from ltgnn_pyg.batch import MicroBatch
from ltgnn_pyg.nn import BPRLoss, EGCFLoss, SoftmaxLoss


def make_batch(**kwargs):
    src, pos = torch.tensor([0, 1, 0, 2]), torch.tensor([3, 4, 5, 3])
    n_id = torch.arange(7)
    return MicroBatch(
        n_id=n_id, num_seeds=7, src_index=src, dst_pos_index=pos, **kwargs
    )


def test_pair_by_pair(z):
    batch = make_batch(dst_neg_index=torch.tensor([4, 5, 6, 6]))
    loss_fn = EGCFLoss(BPRLoss(), weight=0.3, temperature=0.2)
    unit = z / z.norm(dim=1, keepdim=True)
    u, i = unit[batch.src_index], unit[batch.dst_pos_index]
    contrast = 0.0
    for a, b in ((u, u), (i, i), (u, i)):
        for k in range(4):
            total = sum((a[k] @ b[c] / 0.2).exp() for c in range(4))
            contrast = contrast - ((a[k] @ b[k] / 0.2).exp() / total).log() / 4
    expected = BPRLoss()(z, batch) + 0.3 * contrast
    torch.testing.assert_close(loss_fn(z, batch), expected)
    assert gradcheck(lambda z: loss_fn(z, batch), z)


def test_scores_as_its_objective_says(z):
    degree = torch.tensor([1.0, 2.0])
    assert EGCFLoss().cosine and not EGCFLoss(BPRLoss()).cosine
    assert EGCFLoss(BPRLoss()).item_bias(degree) is None
    expected = SoftmaxLoss().item_bias(degree)
    assert torch.equal(EGCFLoss().item_bias(degree), expected)
    assert EGCFLoss(weight=0.0)(z, make_batch()) == SoftmaxLoss()(z, make_batch())


def test_rows_of_zeros():
    z = torch.zeros(7, 3, requires_grad=True)
    EGCFLoss()(z, make_batch()).backward()
    assert z.grad.isfinite().all()


def test_bad_arguments():
    for kwargs in ({"weight": -1.0}, {"temperature": 0.0}):
        with pytest.raises(ValueError, match="'weight'"):
            EGCFLoss(**kwargs)
