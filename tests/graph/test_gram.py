import pytest
import torch
from numpy.polynomial import Chebyshev, Polynomial

from ltgnn_pyg.datasets import synthetic_interactions
from ltgnn_pyg.graph import Gram
from ltgnn_pyg.scorers.rows import rows_of
from tests import dense


def apply(function, matrix):
    """A function of the eigenvalues of a symmetric matrix."""
    value, vector = torch.linalg.eigh(matrix)
    value = torch.from_numpy(function(value.numpy()))
    return (vector * value) @ vector.t()


@pytest.mark.parametrize("coefficients", [[2.0], [0.0, 1.0], [0.5, -1.0, 0.0, 3.0]])
def test_polynomials(interactions, rows, coefficients):
    gram, expected = Gram(rows_of(interactions)), dense.gram(rows)
    torch.testing.assert_close(gram.degree.double(), rows.sum(0))
    x = torch.randn(rows.size(1), 7)
    torch.testing.assert_close(gram.product(x).double(), expected @ x.double())
    want = apply(Polynomial(coefficients), expected) @ x.double()
    found = gram.powers(x, coefficients).double()
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-5)
    laplacian = torch.eye(len(expected)) - 2 * expected
    want = apply(Chebyshev(coefficients), laplacian) @ x.double()
    found = gram.chebyshev(x, coefficients).double()
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-5)


def test_leaves_the_table_alone(interactions):
    gram = Gram(rows_of(interactions))
    x = torch.randn(interactions.num_items, 3)
    y = x.clone()
    gram.powers(x, [1.0, 2.0, 3.0])
    gram.chebyshev(x, [1.0, 2.0, 3.0])
    assert x.equal(y)


@pytest.mark.parametrize("rank", [0, 1, 14, 28, 100])
def test_all_vectors_of_a_small_matrix(interactions, rows, rank):
    found = Gram(rows_of(interactions)).leading(rank).double()
    assert found.size() == (rows.size(1), rank)
    value, vector = torch.linalg.eigh(dense.gram(rows))
    vector = (vector * (value > 1e-9))[:, max(len(value) - rank, 0) :]
    if rank == 0:
        vector = vector[:, :0]
    projection = vector @ vector.t()
    tolerance = {"atol": 1e-5, "rtol": 0.0}
    if rank + 16 < len(rows[0]):
        tolerance["atol"] = 5e-3  # Iterated.
    torch.testing.assert_close(found @ found.t(), projection, **tolerance)


def test_leading_vectors_of_a_large_one():
    interactions = synthetic_interactions(900, 700, 12_000)
    rows = torch.zeros(900, 700, dtype=torch.double)
    rows[interactions.user, interactions.item] = 1.0
    matrix = dense.gram(rows)
    found = Gram(rows_of(interactions)).leading(40).double()
    torch.testing.assert_close(
        found.t() @ found, torch.eye(40, dtype=torch.double), atol=1e-5, rtol=0.0
    )
    value = torch.linalg.eigvalsh(matrix).flip(0)[:40]
    ritz = (found.t() @ matrix @ found).diagonal()
    torch.testing.assert_close(ritz, value, atol=1e-4, rtol=1e-4)
