import torch
import torch.nn.functional as F

from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.nn.loss import SoftmaxLoss
from ltgnn_pyg.nn.loss.in_batch_softmax import score_dtype
from tests.nn.loss.batches import dense_in_batch_softmax, make_batch


def test_in_batch_softmax_in_chunks():
    z = torch.randn(50, 4, dtype=torch.double, requires_grad=True)
    src, pos = torch.randint(0, 25, (2500,)), torch.randint(25, 50, (2500,))
    score = dense_in_batch_softmax(z, src, pos, 0.5)
    expected = F.cross_entropy(score, torch.arange(2500))
    batch = make_batch(src, pos, num_seeds=50)
    loss = SoftmaxLoss(0.5, cosine=False)(z, batch)
    torch.testing.assert_close(loss, expected)
    grads = (torch.autograd.grad(value, z)[0] for value in (loss, expected))
    torch.testing.assert_close(*grads)


def test_in_batch_softmax_in_bfloat16():
    """Large batches of float32, where it is faster: rounded, but for the own column."""
    what = "scores of a softmax on cpu"
    z = torch.randn(300, 8, requires_grad=True)
    src, pos = torch.randint(0, 100, (1500,)), torch.randint(100, 300, (1500,))
    batch, found, of_unlike_size = make_batch(src, pos, num_seeds=300), [], []
    for name in ("float32", "bfloat16"):
        with kernels.run({what: name}):
            loss = SoftmaxLoss(0.12)(z, batch)
            found.append((loss.detach(), torch.autograd.grad(loss, z)[0]))
            losses = SoftmaxLoss(0.12, cosine=False), SoftmaxLoss(0.01)
            of_unlike_size.append([f(20 * z, batch).item() for f in losses])
            assert str(score_dtype(z.repeat(2, 1))) == f"torch.{name}"
            assert kernels.chosen() == {what: name}
    (loss, grad), (rounded, other) = found
    assert not torch.equal(grad, other)
    torch.testing.assert_close(rounded, loss, atol=0.0, rtol=1e-3)
    assert (other - grad).norm() < 0.01 * grad.norm()
    assert of_unlike_size[0] == of_unlike_size[1]
    with kernels.run():
        assert score_dtype(z[:100]) == torch.float32  # Small ones stay as they are.
        assert not kernels.chosen()
        found = [score_dtype(z.repeat(2, 1)) for _ in range(2)]
        assert found[0] == found[1] in (torch.float32, torch.bfloat16)
        assert list(kernels.chosen()) == [what]
