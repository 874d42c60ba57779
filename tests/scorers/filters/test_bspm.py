import pytest
import torch

from ltgnn_pyg import Query
from ltgnn_pyg.scorers.filters import BSPM
from tests import dense

YELP = {"beta": 0.3, "T": 1.2, "solver_order": 1, "averaged": True}
AMAZON = {"beta": 0.0, "T": 2.2, "num_steps": 2}


def euler(y, P, h):
    return y - h * y @ P


def runge_kutta(y, P, h):
    """A step of dy/dt = -y P, as solvers take it."""
    k1 = -y @ P
    k2 = -(y + h / 3 * k1) @ P  # The 3/8 rule, torchdiffeq's 'rk4'.
    k3 = -(y + h * (k2 - k1 / 3)) @ P
    k4 = -(y + h * (k1 - k2 + k3)) @ P
    return y + h / 8 * (k1 + 3 * k2 + 3 * k3 + k4)


@pytest.mark.parametrize("settings", [{}, YELP, AMAZON], ids=["G", "Y", "A"])
def test_equals_its_solver(interactions, rows, settings):
    rank = rows.size(1) - 16
    scorer = BSPM(interactions, rank=rank, **settings)
    P, T, n = dense.gram(rows), settings.get("T", 2.5), settings.get("num_steps", 1)
    beta = settings.get("beta", 0.2)
    step = euler if settings.get("solver_order", 4) == 1 else runge_kutta
    low_pass = beta * rows @ dense.low_pass(rows, rank, 0.5)
    blurred = rows @ P
    y, part = blurred + low_pass, low_pass
    for _ in range(n):
        y, part = step(y, P, T / n), step(part, P, T / n)
    if settings.get("averaged"):
        y, part = (y + blurred) / 2, part / 2
    everyone = torch.arange(rows.size(0))
    found = scorer.score(Query(everyone)).double()
    torch.testing.assert_close(found, y, atol=1e-5, rtol=1e-5)
    found = scorer.vectors().score(Query(everyone)).double()
    torch.testing.assert_close(found, part, atol=1e-5, rtol=1e-5)
