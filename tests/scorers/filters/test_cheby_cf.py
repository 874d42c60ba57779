import math

import pytest
import torch

from ltgnn_pyg import Query
from ltgnn_pyg.scorers.filters import ChebyCF
from ltgnn_pyg.scorers.filters.cheby_cf import plateau
from tests import dense


def released(K, phi):
    """The coefficients, word by word."""
    extrema = [round(math.cos((K - j) / K * math.pi), 3) for j in range(K + 1)]
    values = [
        round(0.5 * (-e) ** phi + 0.5 if e < 0 else -0.5 * e**phi + 0.5, 3)
        for e in extrema
    ]
    out = []
    for k in range(K + 1):
        total = 0.0
        for j in range(1, K + 2):
            node = math.cos((K + 1 + 0.5 - j) / (K + 1) * math.pi)
            total += math.cos(k * math.acos(node)) * values[j - 1]
        out.append(total * (1 if k == 0 else 2) / (K + 1))
    return out


@pytest.mark.parametrize(("K", "phi"), [(8, 1.5), (8, 10.0), (5, 1.0), (1, 0.0)])
def test_coefficients(K, phi):
    assert plateau(K, phi) == pytest.approx(released(K, phi), abs=1e-12)


@pytest.mark.parametrize("settings", [{}, {"phi": 10.0, "beta": 0.0, "K": 3}])
def test_equals_its_equation(interactions, rows, settings):
    rank = rows.size(1) - 16
    scorer = ChebyCF(interactions, rank=rank, **settings)
    c = released(settings.get("K", 8), settings.get("phi", 1.5))
    beta, P = settings.get("beta", 0.4), dense.gram(rows)
    scale = rows.sum(0).clamp(min=1).pow(beta)
    L = torch.eye(rows.size(1)) - 2 * P
    x = rows / scale
    before, t = x, x @ L
    y = c[0] * before + c[1] * t
    for each in c[2:]:
        before, t = t, 2 * t @ L - before
        y = y + each * t
    low_pass = 0.2 * rows @ dense.low_pass(rows, rank, beta)
    everyone = torch.arange(rows.size(0))
    found = scorer.score(Query(everyone)).double()
    torch.testing.assert_close(found, y * scale + low_pass, atol=1e-5, rtol=1e-5)
    # The vectors are the filter's image of the leading eigenvectors, no more.
    kept = dense.low_pass(rows, rank, beta)  # A projection, up to the scale.
    expected = y @ (scale.view(-1, 1) * kept) + low_pass
    found = scorer.vectors().score(Query(everyone)).double()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_without_low_pass_there_are_no_vectors(interactions, rows):
    vectors = ChebyCF(interactions, alpha=0.0).vectors()
    assert vectors.dim == 0 and vectors.num_items == rows.size(1)
