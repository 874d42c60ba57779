import pytest
import torch

from ltgnn_pyg import Query
from ltgnn_pyg.scorers.filters import GFCF
from tests import dense


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_equals_its_equation(interactions, rows, alpha):
    rank = rows.size(1) - 16
    scorer = GFCF(interactions, rank=rank, alpha=alpha)
    low_pass = alpha * dense.low_pass(rows, rank, 0.5)
    expected = rows @ (dense.gram(rows) + low_pass)
    everyone = torch.arange(rows.size(0))
    found = scorer.score(Query(everyone)).double()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    found = scorer.vectors().score(Query(everyone)).double()
    torch.testing.assert_close(found, rows @ low_pass, atol=1e-5, rtol=1e-5)
