import torch
from torch.autograd import gradcheck

from ltgnn_pyg.graph import normalized_adj
from ltgnn_pyg.nn.conv import LTConv, history_step, solve
from tests.dense import dense_adj


def test_is_one_step_of_the_layer(graph):
    x = torch.randn(graph.num_nodes, 4, dtype=torch.double)
    z = torch.randn_like(x)
    adj = dense_adj(graph.edge_index, graph.num_nodes)
    expected = LTConv(0.3)(x, graph.edge_index, z=z)
    torch.testing.assert_close(history_step(x, adj @ z, 0.3), expected)


def test_gradient_is_local():
    x = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    a = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    g = torch.randn(5, 3, dtype=torch.double)
    assert gradcheck(lambda x: history_step(x, a.detach(), 0.3), x)
    out = history_step(x, a, 0.3)
    grads = torch.autograd.grad(out, (x, a), g, allow_unused=True)
    torch.testing.assert_close(grads[0], 0.3 * g)
    assert grads[1] is None


def test_follows_the_type_of_its_input():
    a = torch.randn(5, 3)
    for dtype in (torch.bfloat16, torch.float64):
        x = torch.randn(5, 3).to(dtype)
        out = history_step(x, a, 0.3)
        assert out.dtype == dtype
        expected = 0.7 * a.double() + 0.3 * x.double()
        torch.testing.assert_close(out.double(), expected, atol=0.02, rtol=0.02)


def test_repeated_steps_reach_the_fixed_point(graph):
    adj_t = normalized_adj(graph.edge_index, None, graph.num_nodes).to(torch.double)
    x = torch.randn(graph.num_nodes, 4, dtype=torch.double)
    z = x
    for _ in range(120):
        z = history_step(x, adj_t @ z, 0.3)
    torch.testing.assert_close(z, solve(x, adj_t, 0.3, tol=1e-14)[0])
