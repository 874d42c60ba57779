import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from ltgnn_pyg import normalized_adj
from ltgnn_pyg.nn import exact_steps


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("K", [1, 4])
def test_equals_dense_steps_both_ways(alpha, K):
    """Of a matrix that is not symmetric, so that transposing by mistake shows."""
    edge_index = torch.tensor([[0, 1, 2, 3, 3, 1], [1, 2, 3, 0, 2, 4]])
    adj_t = normalized_adj(edge_index, torch.rand(6).double() + 0.1, 5)
    adj_t = adj_t.with_value(torch.rand(6).double())
    x = torch.randn(5, 2, dtype=torch.double, requires_grad=True)
    z = x
    for _ in range(K):
        z = (1 - alpha) * adj_t.to_dense() @ z + alpha * x
    torch.testing.assert_close(exact_steps(x, adj_t, alpha, K), z)
    assert gradcheck(lambda x: exact_steps(x, adj_t, alpha, K), x)
    assert gradgradcheck(lambda x: exact_steps(x, adj_t, alpha, K).sin(), x)
    narrow = exact_steps(x.detach().bfloat16(), adj_t.to(torch.float), alpha, K)
    assert narrow.dtype == torch.bfloat16
    torch.testing.assert_close(narrow.double(), z.detach(), atol=0.05, rtol=0.05)
