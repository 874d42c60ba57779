import pytest
import torch
from torch.autograd import gradcheck

from ltgnn_pyg.nn import BPRLoss, SoftmaxLoss

SRC = torch.tensor([0, 1, 0, 2])
POS = torch.tensor([3, 4, 5, 3])
NEGATIVES = {
    "one": torch.tensor([4, 5, 6, 6]),
    "many": torch.tensor([[4, 6], [5, 3], [6, 4], [6, 5]]),
    "shared": torch.tensor([[6, 4, 5]]),
}


@pytest.fixture
def z():
    return torch.randn(7, 3, dtype=torch.double, requires_grad=True)


def rows(neg, b):
    neg = neg if neg.dim() == 2 else neg.unsqueeze(1)
    return neg[0 if neg.size(0) == 1 else b].tolist()


@pytest.mark.parametrize("kind", NEGATIVES)
def test_bpr(z, kind):
    neg = NEGATIVES[kind]
    terms = [
        -torch.log(torch.sigmoid(z[SRC[b]] @ z[POS[b]] - z[SRC[b]] @ z[j]))
        for b in range(4)
        for j in rows(neg, b)
    ]
    loss = BPRLoss()
    torch.testing.assert_close(loss(z, SRC, POS, neg), torch.stack(terms).mean())
    assert gradcheck(lambda z: loss(z, SRC, POS, neg), z)


@pytest.mark.parametrize("kind", [*NEGATIVES, None])
@pytest.mark.parametrize("cosine", [True, False])
def test_softmax(z, kind, cosine):
    loss = SoftmaxLoss(0.5, cosine)
    neg = None if kind is None else NEGATIVES[kind]
    rep = z / z.norm(dim=1, keepdim=True) if cosine else z
    terms = []
    for b in range(4):
        other = (
            [j for j in POS.tolist() if j != POS[b]] if neg is None else rows(neg, b)
        )
        logit = rep[[int(POS[b]), *other]] @ rep[SRC[b]] / 0.5
        terms.append(-logit.log_softmax(0)[0])
    torch.testing.assert_close(loss(z, SRC, POS, neg), torch.stack(terms).mean())
    assert gradcheck(lambda z: loss(z, SRC, POS, neg), z)


def test_bad_arguments(z):
    with pytest.raises(ValueError, match="Expected negatives"):
        BPRLoss()(z, SRC, POS)
    with pytest.raises(ValueError, match="positive 'temperature'"):
        SoftmaxLoss(0.0)
