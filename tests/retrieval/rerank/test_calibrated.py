import math

import pytest
import torch

from ltgnn_pyg.retrieval.rerank import Candidates, calibrated
from tests.retrieval.rerank.lists import candidates, check_lists, one_by_one

NUM_USERS, NUM_ITEMS, NUM_CATEGORIES = 9, 60, 5


@pytest.fixture
def category():
    """Some items have several, weighted, some none."""
    out = torch.rand(NUM_ITEMS, NUM_CATEGORIES, dtype=torch.double)
    return out * (torch.rand_like(out) < 0.4)


@pytest.fixture
def seen():
    """User 3 has taken nothing."""
    count = torch.tensor([4, 2, 3, 0, 7, 1, 5, 6, 2])
    rowptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
    return rowptr, torch.randint(NUM_ITEMS, (int(rowptr[-1]),))


def shares(rows):
    """The mean of the rows' shares, over rows that have any."""
    rows = [[x / sum(row) for x in row] for row in rows if sum(row) > 0]
    mean = [sum(column) for column in zip(*rows, strict=True)]
    return [x / len(rows) for x in mean] or [0.0] * NUM_CATEGORIES


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.9, 1.0])
def test_equals_its_definition(category, seen, lam):
    _, given = candidates()
    rowptr, col = (each.tolist() for each in seen)
    table = category.tolist()
    unit = [[x / (sum(row) or 1.0) for x in row] for row in table]
    for user in range(NUM_USERS):
        one = Candidates(*(each[user : user + 1] for each in given))
        p = shares([table[i] for i in col[rowptr[user] : rowptr[user + 1]]])

        def worth(relevance, items, chosen, place, p=p):
            at = [*chosen, place]
            q = [sum(unit[items[a]][g] for a in at) / len(at) for g in range(5)]
            q = [0.99 * x + 0.01 * y for x, y in zip(q, p, strict=True)]
            kl = sum(y * math.log(y / x) for x, y in zip(q, p, strict=True) if y > 0)
            return lam * sum(relevance[a] for a in at) - (1 - lam) * kl

        out = calibrated(one, category, seen, k=10, lam=lam)
        check_lists(one, out, 10)
        if lam > 0.0 or user == 4:  # Else ties decide.
            assert out.item.equal(one_by_one(one, 10, worth))
    whole = calibrated(given, category, seen, k=10, lam=lam)
    assert whole.item[-1:].equal(out.item)


def test_a_list_gets_the_shares_of_the_user():
    """Seven of one category to three of another, though scores prefer the latter."""
    category = torch.eye(2).repeat_interleave(20, 0)
    seen = torch.tensor([0, 10]), torch.tensor([*range(7), *range(20, 23)])
    item = torch.arange(39, -1, -1).view(1, -1)
    given = Candidates(torch.tensor([0]), item.float(), item)
    out = calibrated(given, category, seen, k=10, lam=0.01).item[0]
    assert (out < 20).sum() == 7
    assert calibrated(given, category, seen, k=10, lam=1.0).item.equal(item[:, :10])


def test_users_in_any_order(category, seen):
    _, given = candidates()
    expected = calibrated(given, category, seen, k=6, lam=0.3).item
    index = torch.tensor([8, 0, 4, 4])
    some = Candidates(*(each[index] for each in given))
    assert calibrated(some, category, seen, k=6, lam=0.3).item.equal(expected[index])


def test_errors(category, seen):
    _, given = candidates()
    rowptr, col = seen
    with pytest.raises(ValueError, match=r"users in \[0, 8\)"):
        calibrated(given, category, (rowptr[:-1], col), k=3, lam=0.5)
    with pytest.raises(ValueError, match=r"'lam' in \[0, 1\]"):
        calibrated(given, category, seen, k=3, lam=2.0)
    with pytest.raises(ValueError, match=r"'item_category' .* not negative"):
        calibrated(given, -category, seen, k=3, lam=0.5)
