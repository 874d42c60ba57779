import pytest
import torch

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.scorers import Query, Scorer, Vectors


class Table(Scorer):
    """Scores that are known."""

    def __init__(self, table):
        self.table = table

    num_users = property(lambda self: self.table.size(0))
    num_items = property(lambda self: self.table.size(1))
    device = property(lambda self: self.table.device)
    dtype = property(lambda self: self.table.dtype)

    def score(self, query, out=None):
        score = self.table[query.user]
        return score if out is None else out.copy_(score)


def vectors(dtype=torch.float, bias=True):
    item_bias = torch.randn(37, dtype=dtype) if bias else None
    user, item = torch.randn(11, 4, dtype=dtype), torch.randn(37, 4, dtype=dtype)
    return Vectors(user, item, item_bias)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float, torch.double])
def test_vectors_score(dtype, bias):
    given = vectors(dtype, bias)
    user, wide = torch.tensor([4, 0, 4]), torch.promote_types(dtype, torch.float)
    expected = given.user[user].to(wide) @ given.item.to(wide).t()
    if bias:
        expected = expected + given.item_bias.to(wide)
    assert given.dtype == wide and given.device == given.user.device
    torch.testing.assert_close(given.score(Query(user)), expected)
    room = torch.full((3, 40), torch.nan, dtype=wide)
    out = given.score(Query(user), out=room[:, :37])
    assert out.data_ptr() == room.data_ptr() and room[:, 37:].isnan().all()
    torch.testing.assert_close(out, expected)


def test_any_scorer_is_ranked_and_measured():
    given = vectors()
    table = Table(given.score(Query(torch.arange(11))))
    assert table.as_vectors is None
    user = torch.arange(11)
    pairs = Interactions(user, 3 * user, 11, 37)
    seen = Interactions(user, 3 * user + 1, 11, 37)
    for chunk_bytes in (1, 2**28):
        args = {"exclude": seen, "chunk_bytes": chunk_bytes}
        score, item = top_k(table, 5, **args)
        expected = top_k(given, 5, **args)
        torch.testing.assert_close(score, expected[0])
        assert item.equal(expected[1])
    found = evaluate(table, pairs, exclude=seen)
    assert found == evaluate(given, pairs, exclude=seen)


def test_scores_are_checked():
    table = Table(torch.full((2, 3), torch.nan))
    with pytest.raises(ValueError, match="within the range"):
        top_k(table, 1)
