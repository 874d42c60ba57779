import torch

from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.scorers.filters import Popularity


def test_counts(interactions, rows):
    scorer = Popularity(interactions)
    expected = rows.sum(0).float().expand(rows.size(0), -1)
    everyone = torch.arange(rows.size(0))
    assert scorer.score(everyone).equal(expected)
    assert scorer.vectors().score(everyone).equal(expected)
    known = interactions.edge_label_index
    found, other = (top_k(x, 5, exclude=known) for x in (scorer, scorer.vectors()))
    assert found[0].equal(other[0])
