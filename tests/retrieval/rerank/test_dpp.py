import math

import pytest
import torch

from ltgnn_pyg.retrieval.rerank import Candidates, dpp
from tests.retrieval.rerank.lists import candidates, check_lists, one_by_one


@pytest.mark.parametrize("theta", [0.01, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_equals_greedy_search_over_determinants(theta, dtype):
    """Word by word: the kernel of the paper, a determinant for each subset."""
    vectors, given = candidates()
    row = vectors.item / vectors.item.norm(dim=1, keepdim=True)
    a = theta / (2 * (1 - theta))

    def worth(relevance, items, chosen, p):
        at = torch.tensor([*chosen, p])
        q = torch.tensor(relevance, dtype=torch.double)[at].mul(a).exp()
        b = row[torch.tensor(items)[at]]
        return float(torch.linalg.slogdet(q * q.view(-1, 1) * (b @ b.t())).logabsdet)

    score = given.score.to(dtype)
    out = dpp(given._replace(score=score), vectors.item.to(dtype), k=8, theta=theta)
    check_lists(given._replace(score=score), out, 8)
    assert out.item.equal(one_by_one(given, 8, worth))


def test_fills_up_by_score_once_the_rows_are_spanned():
    vectors, given = candidates()
    out = dpp(given, vectors.item, k=20, theta=0.5)  # Of rank eight.
    check_lists(given, out, 20)
    for row in (0, 3):
        first, rest = set(out.item[row, :8].tolist()), out.item[row, 8:].tolist()
        in_order = [i for i in given.item[row].tolist() if i not in first]
        assert rest == in_order[:12]


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_twins_and_rows_of_zeros_come_last(dtype):
    row = torch.eye(4, dtype=dtype).repeat(3, 1) * 3  # 0, 4, 8 are one row ...
    row[5] = 0.0
    score = torch.arange(12, 0, -1).to(dtype).view(1, -1)
    given = Candidates(torch.tensor([0]), score, torch.arange(12).view(1, -1))
    out = dpp(given, row, k=12, theta=0.9).item.tolist()[0]
    assert out[:4] == [0, 1, 2, 3] and out[4:] == list(range(4, 12))


def test_high_theta_does_not_overflow():
    vectors, given = candidates(dtype=torch.float)
    assert math.exp(0.99 / (1 - 0.99)) > torch.finfo(torch.float).max
    out = dpp(given, vectors.item, k=6, theta=0.99)
    check_lists(given, out, 6)
    assert out.item[:, 0].equal(given.item[:, 0])


def test_errors():
    vectors, given = candidates()
    for theta in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"'theta' in \[0, 1\)"):
            dpp(given, vectors.item, k=3, theta=theta)
    with pytest.raises(ValueError, match=r"items in \[0, 50\)"):
        dpp(given, vectors.item[:50], k=3, theta=0.5)
