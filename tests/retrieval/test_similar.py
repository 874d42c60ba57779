import pytest
import torch

from ltgnn_pyg.retrieval import similar_items, similar_users
from ltgnn_pyg.scorers import Vectors


@pytest.fixture
def vectors():
    kwargs = {"dtype": torch.double}
    item = torch.randn(50, 6, **kwargs) * torch.rand(50, 1, **kwargs)
    return Vectors(torch.randn(20, 6, **kwargs), item, torch.randn(50, **kwargs))


def reference(rows, k):
    norm = rows.norm(dim=1)
    cosine = (rows @ rows.t() / norm / norm.view(-1, 1)).fill_diagonal_(-torch.inf)
    return cosine.topk(k)


def test_nearest_by_cosine_without_itself(vectors):
    for find, rows in (similar_items, vectors.item), (similar_users, vectors.user):
        expected = reference(rows, 7)
        for chunk_bytes in (1, 2**28):
            score, index = find(vectors, 7, chunk_bytes=chunk_bytes)
            torch.testing.assert_close(score, expected.values)
            assert index.equal(expected.indices)


def test_some(vectors):
    index = torch.tensor([3, 0, 3])
    expected = reference(vectors.item, 4).indices[index]
    assert similar_items(vectors, 4, item=index)[1].equal(expected)
    expected = reference(vectors.user, 4).indices[index]
    assert similar_users(vectors, 4, user=index)[1].equal(expected)


def test_runs_out():
    score, item = similar_items(Vectors(torch.ones(1, 2), torch.ones(2, 2)), 3)
    assert item.tolist() == [[1, -1, -1], [0, -1, -1]]
    torch.testing.assert_close(score[:, 0], torch.ones(2))


def test_errors(vectors):
    with pytest.raises(ValueError, match=r"\[0, 50\)"):
        similar_items(vectors, 3, item=torch.tensor([50]))
    with pytest.raises(ValueError, match="'k' >= 1"):
        similar_users(vectors, 0)
