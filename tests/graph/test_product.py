import pytest
import torch

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.graph import csr_operator, product, propagate
from ltgnn_pyg.graph.product import BLOCK, KERNELS


def test_propagate_in_blocks():
    num_nodes, num_edges = 3000, 2 * BLOCK + 5
    edge_index = torch.randint(num_nodes - 100, (2, num_edges))  # Some have none.
    adj_t = normalized_adj(edge_index, None, num_nodes)
    x = torch.randn(num_nodes, 4)
    expected = torch.sparse.mm(adj_t.tensor(), x)
    out = torch.full_like(x, torch.nan)
    torch.testing.assert_close(propagate(adj_t, x, out=out), expected)
    torch.testing.assert_close(out, expected)
    narrow = propagate(adj_t, x.bfloat16())
    torch.testing.assert_close(narrow, propagate(adj_t, x.bfloat16().float()))
    empty = normalized_adj(edge_index[:, :0], None, 5)
    assert propagate(empty, x[:5]).count_nonzero() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 7, 64])
def test_all_kernels_agree(dtype, dim, monkeypatch):
    """Whichever is the fastest here, value and gradient are the same."""
    edge_index = torch.randint(500, (2, 5000))
    adj_t = normalized_adj(torch.cat([edge_index, edge_index.flip(0)], 1), None, 500)
    x = torch.randn(500, dim, dtype=dtype, requires_grad=True)
    expected = adj_t.to_dense().to(dtype) @ x.detach()
    for kernel in KERNELS:
        monkeypatch.setattr(csr_operator, "fastest_kernel", lambda *args, k=kernel: k)
        out = propagate(adj_t, x)
        torch.testing.assert_close(out.detach(), expected)
        (grad,) = torch.autograd.grad(out, x, x.detach())
        torch.testing.assert_close(grad, expected)


def test_a_kernel_is_chosen_once(monkeypatch):
    monkeypatch.setattr(product, "_fastest", {})
    edge_index = torch.randint(900, (2, 2**16))
    adj_t, x = normalized_adj(edge_index, None, 900), torch.randn(900, 3)
    first = propagate(adj_t, x)
    assert len(product._fastest) == 1
    assert torch.equal(propagate(adj_t, x), first)
    (kernel,) = product._fastest.values()
    assert kernel in KERNELS
