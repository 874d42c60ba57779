from functools import partial

import pytest
import torch

from ltgnn_pyg.retrieval.rerank import Candidates, Pipeline, boost, dpp, keep, mmr
from tests.retrieval.rerank.lists import candidates, check_lists


def test_steps_are_taken_in_turn():
    vectors, given = candidates()
    in_stock = torch.rand(60) < 0.7
    bonus = torch.rand(60, dtype=torch.double)
    last = partial(mmr, item_vector=vectors.item, k=10, lam=0.6)
    rules = Pipeline([partial(keep, mask=in_stock), partial(boost, bonus=bonus)])
    out = Pipeline([rules, last])(given)  # A pipeline is a step.
    expected = last(boost(keep(given, in_stock), bonus))
    assert all(one.equal(two) for one, two in zip(out, expected, strict=True))
    assert in_stock[out.item[out.item >= 0]].all()
    rules.append(partial(dpp, item_vector=vectors.item, k=5, theta=0.5))
    assert rules(given).item.size() == (9, 5)
    assert Pipeline()(given) is given


def test_a_step_of_ones_own_takes_context():
    """What was clicked in a session lifts what is like it."""
    vectors, given = candidates()

    def near(candidates, clicks):
        like = (
            vectors.item[candidates.item] @ vectors.item[clicks].mean(0)
        ).masked_fill(candidates.item < 0, -torch.inf)
        return candidates.take(like.argsort(dim=1, descending=True))

    out = Pipeline([partial(near, clicks=torch.tensor([5]))])(given)
    assert out.item.sort(1).values.equal(given.item.sort(1).values)


def test_keep_moves_the_others_up():
    given = Candidates(
        torch.arange(3),
        torch.tensor([[4.0, 3, 2, 1], [2, 1, -torch.inf, -torch.inf], [4, 3, 2, 1]]),
        torch.tensor([[3, 1, 0, 2], [1, 0, -1, -1], [1, 0, 4, 3]]),
    )
    mask = torch.tensor([True, False, True, False, True])
    out = keep(given, mask)
    assert out.item.tolist() == [[0, 2, -1, -1], [0, -1, -1, -1], [0, 4, -1, -1]]
    inf = torch.inf
    assert out.score.tolist() == [
        [2, 1, -inf, -inf],
        [1, -inf, -inf, -inf],
        [3, 2, -inf, -inf],
    ]
    whole = keep(given, torch.ones(5, dtype=torch.bool))
    assert whole.item.equal(given.item) and whole.score.equal(given.score)
    check_lists(out, keep(out, mask), 4)


def test_boost_adds_a_share_of_the_range():
    inf = torch.inf
    given = Candidates(
        torch.arange(2),
        torch.tensor([[14.0, 12, 10, -inf], [-inf, -inf, -inf, -inf]]),
        torch.tensor([[3, 1, 0, -1], [-1, -1, -1, -1]]),
    )
    out = boost(given, torch.tensor([1.25, 0.0, 9.0, 0.1]))
    assert out.item.tolist() == [[0, 3, 1, -1], [-1, -1, -1, -1]]
    torch.testing.assert_close(out.score[0], torch.tensor([15.0, 14.4, 12.0, -inf]))
    assert (out.score[1] == -inf).all()
    same = boost(given, torch.zeros(4))
    assert same.item.equal(given.item) and same.score.equal(given.score)


def test_errors():
    _, given = candidates()
    for mask in (torch.ones(60), torch.ones(9, 60, dtype=torch.bool)):
        with pytest.raises(ValueError, match=r"'mask' \[I\] of type bool"):
            keep(given, mask)
    with pytest.raises(ValueError, match=r"items in \[0, 40\)"):
        keep(given, torch.ones(40, dtype=torch.bool))
    for bonus in (torch.ones(60).bool(), torch.full((60,), torch.inf)):
        with pytest.raises(ValueError, match=r"'bonus' \[I\], finite"):
            boost(given, bonus)
