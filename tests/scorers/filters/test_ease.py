import pytest
import torch

from ltgnn_pyg import Query
from ltgnn_pyg.scorers.filters import EASE


@pytest.mark.parametrize("l2", [0.5, 20.0])
def test_equals_its_closed_form(interactions, rows, l2):
    """Whichever side is the smaller one, for known users and for others."""
    scorer = EASE(interactions, l2=l2)
    assert scorer.by_users == (rows.size(0) < rows.size(1))
    eye = torch.eye(rows.size(1), dtype=torch.double)
    P = torch.linalg.inv(rows.t() @ rows + l2 * eye)
    B = eye - P / P.diagonal()
    assert not B.diagonal().abs().max() > 1e-9
    tolerance = {"atol": 2e-5, "rtol": 1e-4}
    torch.testing.assert_close(scorer.diagonal.double(), P.diagonal(), **tolerance)
    found = scorer.score(Query(torch.arange(rows.size(0)))).double()
    torch.testing.assert_close(found, rows @ B, **tolerance)
    others = (torch.rand(9, rows.size(1)) < 0.3).double()
    query = Query.of_items([row.nonzero().flatten().tolist() for row in others])
    found = scorer.score(query).double()
    torch.testing.assert_close(found, others @ B, **tolerance)


def test_is_the_best_linear_map(interactions, rows):
    """Each column is the ridge regression of an item on all others."""
    scorer, l2 = EASE(interactions, l2=5.0), 5.0
    for item in (0, 7):
        other = [j for j in range(rows.size(1)) if j != item]
        x, y = rows[:, other], rows[:, item]
        eye = torch.eye(len(other), dtype=torch.double)
        weight = torch.linalg.solve(x.t() @ x + l2 * eye, x.t() @ y)
        found = scorer.score(Query(torch.arange(rows.size(0))))[:, item].double()
        torch.testing.assert_close(found, x @ weight, atol=2e-5, rtol=1e-4)
