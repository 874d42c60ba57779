import torch

from ltgnn_pyg import Query
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.scorers.filters import Popularity


def test_counts(interactions, rows):
    scorer = Popularity(interactions)
    expected = rows.sum(0).float().expand(rows.size(0), -1)
    everyone = torch.arange(rows.size(0))
    assert scorer.score(Query(everyone)).equal(expected)
    assert scorer.as_vectors.score(Query(everyone)).equal(expected)
    given = scorer, scorer.as_vectors
    found, other = (top_k(x, 5, exclude=interactions) for x in given)
    assert found[0].equal(other[0])
