import pytest
import torch

from ltgnn_pyg import Query
from ltgnn_pyg.scorers.filters import ItemKNN


@pytest.mark.parametrize("k", [1, 4, 100])
@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
@pytest.mark.parametrize("chunk_bytes", [1, 2**28])
def test_equals_a_loop(interactions, rows, k, shrinkage, chunk_bytes):
    scorer = ItemKNN(interactions, k=k, shrinkage=shrinkage, chunk_bytes=chunk_bytes)
    both, num_items = rows.t() @ rows, rows.size(1)
    weight = torch.zeros(num_items, num_items, dtype=torch.double)
    for i in range(num_items):
        for j in range(num_items):
            norm = (both[i, i] * both[j, j]).sqrt() + shrinkage
            if i != j and norm > 0:
                weight[i, j] = both[i, j] / norm
    found = scorer.weight.to_dense().double()
    assert found.diagonal().count_nonzero() == 0
    assert (found > 0).sum(1).equal((weight > 0).sum(1).clamp(max=k))
    # Among equals, either may be a neighbour:
    best = weight.sort(dim=1, descending=True).values[:, :k]
    torch.testing.assert_close(
        found.sort(dim=1, descending=True).values[:, :k].float(), best.float()
    )
    torch.testing.assert_close(found[found > 0], weight[found > 0], check_dtype=False)
    score = scorer.score(Query(torch.arange(rows.size(0))))
    torch.testing.assert_close(score, (rows @ found.t()).float())
