import pytest
import torch

from ltgnn_pyg import Query
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.scorers.filters import EASE, ItemKNN, SparseEASE, sparse_ease


@pytest.mark.parametrize("k", [1, 5, 12])
@pytest.mark.parametrize("l2", [2.0, 50.0])
def test_equals_regressions(interactions, rows, k, l2, monkeypatch):
    """Each item on the items that are its neighbours."""
    monkeypatch.setattr(sparse_ease, "TOLERANCE", 1e-6)
    scorer = SparseEASE(interactions, k=k, l2=l2)
    near = ItemKNN(interactions, k=k).weight.to_dense() > 0
    expected = torch.zeros_like(near, dtype=torch.double)
    for item, support in enumerate(near):
        x, y = rows[:, support], rows[:, item]
        eye = torch.eye(x.size(1), dtype=torch.double)
        expected[item, support] = torch.linalg.solve(x.t() @ x + l2 * eye, x.t() @ y)
    found = scorer.weight.to_dense().double()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    score = scorer.score(Query(torch.arange(len(rows))))
    torch.testing.assert_close(score, (rows @ found.t()).float())


def test_all_items_for_neighbours_make_ease(monkeypatch):
    monkeypatch.setattr(sparse_ease, "TOLERANCE", 1e-6)
    user, item = (torch.rand(60, 12) < 0.6).nonzero().t()
    interactions = Interactions(user, item, 60, 12)
    everyone = torch.arange(60)
    found = SparseEASE(interactions, k=12, l2=20.0).score(Query(everyone))
    expected = EASE(interactions, l2=20.0).score(Query(everyone))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
