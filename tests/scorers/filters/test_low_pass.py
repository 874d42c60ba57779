import torch

from ltgnn_pyg import Query
from ltgnn_pyg.graph.gram import Gram
from ltgnn_pyg.scorers.filters.low_pass import LowPass
from ltgnn_pyg.scorers.rows import rows_of


def test_maps_rows(interactions, rows):
    num_items = rows.size(1)
    left, right = torch.randn(num_items, 5), torch.randn(num_items, 5)
    sparse = rows_of(interactions)
    expected = rows.float() @ left @ right.t()
    start = torch.randn(rows.size())
    found = LowPass(left, right).add(sparse, start.clone())
    torch.testing.assert_close(found, start + expected, atol=1e-4, rtol=1e-4)
    vectors = LowPass(left, right).vectors(sparse)
    found = vectors.score(Query(torch.arange(rows.size(0))))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_no_weight_no_vectors(interactions):
    sparse = rows_of(interactions)
    none = LowPass.ideal(Gram(sparse), 12, 0.5, 0.0)
    assert none.left.size() == none.right.size() == (interactions.num_items, 0)
    out = torch.randn(interactions.num_users, interactions.num_items)
    assert none.add(sparse, out.clone()).equal(out)
