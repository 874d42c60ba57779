import pytest
import torch

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.graph import propagate
from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.graph.product import KERNELS, kernel_for
from ltgnn_pyg.graph.row_blocks import BLOCK


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
def test_all_kernels_agree(dtype, dim):
    """Whichever a run is given, value and gradient are the same."""
    edge_index = torch.randint(500, (2, 5000))
    adj_t = normalized_adj(torch.cat([edge_index, edge_index.flip(0)], 1), None, 500)
    x = torch.randn(500, dim, dtype=dtype, requires_grad=True)
    expected = adj_t.to_dense().to(dtype) @ x.detach()
    what = f"product on cpu in {str(dtype).removeprefix('torch.')}"
    for name in KERNELS:
        with kernels.run({what: name}):
            out = propagate(adj_t, x)
            assert kernels.chosen() == {what: name}
        torch.testing.assert_close(out.detach(), expected)
        (grad,) = torch.autograd.grad(out, x, x.detach())
        torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_kernel_is_told_by_the_type(dtype):
    """Of any size, and in each run anew."""
    x = torch.randn(900, 3, dtype=dtype)
    for num_edges in (10, 2**16):
        adj_t = normalized_adj(torch.randint(900, (2, num_edges)), None, 900)
        parts = adj_t.rowptr, adj_t.col, adj_t.value, x
        with kernels.run():
            kernel = kernel_for(*parts, torch.empty_like(x))
            expected = torch.empty_like(x)
            kernel(*parts, expected)
            assert torch.equal(propagate(adj_t, x), expected)
            (name,) = kernels.chosen().values()
            assert KERNELS[name] is kernel
    if dtype == torch.float32:
        assert name == "bags"


def test_a_kernel_that_does_not_run_here(monkeypatch):
    adj_t, x = normalized_adj(torch.randint(9, (2, 30)), None, 9), torch.randn(9, 3)

    def fails(*args):
        raise RuntimeError("not on this device")

    monkeypatch.setitem(KERNELS, "matmul", fails)
    for name in ("matmul", "of another version"):
        with kernels.run({"product on cpu in float32": name}):
            with pytest.raises(ValueError, match=f"by the kernel '{name}'"):
                propagate(adj_t, x)
    propagate(adj_t, x)
