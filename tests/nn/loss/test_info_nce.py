import torch
from torch.autograd import gradcheck

from ltgnn_pyg.nn.loss import info_nce
from tests import dense
from tests.nn.loss.batches import NEGATIVES, POS, SRC, make_batch


def test_from_its_equation():
    """Distinct users and positive items; what is drawn has no part."""
    views = torch.randn(2, 7, 3, dtype=torch.double, requires_grad=True)
    one, two = views
    batch = make_batch(neg=NEGATIVES["many"])
    expected = sum(dense.info_nce(one, two, node, 0.5) for node in (SRC, POS))
    torch.testing.assert_close(info_nce(one, two, batch, 0.5), expected)
    assert gradcheck(lambda views: info_nce(*views, batch, 0.5), views)


def test_views_that_agree_and_a_node_alone():
    z = torch.eye(5, requires_grad=True)
    batch = make_batch(torch.tensor([0, 1]), torch.tensor([3, 4]), num_seeds=5)
    assert info_nce(z, z, batch, 0.01) < 1e-6
    alone = make_batch(torch.tensor([0, 0]), torch.tensor([3, 3]), num_seeds=5)
    loss = info_nce(z, torch.rand(5, 5), alone, 0.2)
    loss.backward()
    assert loss.abs() < 1e-6 and z.grad.abs().max() < 1e-6
