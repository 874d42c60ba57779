import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from ltgnn_pyg.graph import CSROperator, polynomial
from ltgnn_pyg.graph.polynomial import horner

POLYNOMIALS = [[2.0], [0.0], [0.5, 0.25], [0.1, 0.2, 0.7], [0.0, 0.0, 1.0, 0.5]]
POLYNOMIALS += [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.3, -1.2, 0.0, 2.0, 0.0]]


@pytest.fixture
def adj_t():
    """A matrix that is not symmetric, so that transposing by mistake shows."""
    dense = torch.rand(5, 5, dtype=torch.double) * (torch.rand(5, 5) < 0.5)
    return CSROperator.from_tensor(dense.to_sparse_csr())


@pytest.mark.parametrize("coefficients", POLYNOMIALS)
def test_equals_powers_of_the_dense_matrix(adj_t, coefficients):
    x = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    dense, power = adj_t.to_dense(), torch.eye(5, dtype=torch.double)
    expected = torch.zeros(5, 3, dtype=torch.double)
    for c in coefficients:
        expected = expected + c * power @ x.detach()
        power = dense @ power
    torch.testing.assert_close(polynomial(x, adj_t, coefficients).detach(), expected)
    assert gradcheck(lambda x: polynomial(x, adj_t, coefficients), x)
    assert gradgradcheck(lambda x: polynomial(x, adj_t, coefficients).sin(), x)

    out, spare = torch.full_like(x, torch.nan), torch.full_like(x, torch.nan)
    with torch.no_grad():
        before = x.clone()
        assert horner(x, adj_t, coefficients, out, spare) is out
        torch.testing.assert_close(out, expected)
        assert torch.equal(x, before)
