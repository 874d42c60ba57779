import pytest
import torch

from ltgnn_pyg.datasets import Interactions, split_ratio, synthetic_interactions
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.scorers import Query, Vectors, filters
from ltgnn_pyg.scorers.filters import (
    BSPM,
    EASE,
    GFCF,
    ChebyCF,
    Filter,
    ItemKNN,
    Popularity,
    SparseEASE,
)
from ltgnn_pyg.scorers.filters.filter import WIDTH
from tests.toy import blocks

#: Every filter, with its default arguments. A new one is a line here.
FILTERS = [BSPM, ChebyCF, EASE, GFCF, ItemKNN, Popularity, SparseEASE]


def lists(rows):
    """The items of each dense row."""
    return [row.nonzero().flatten() for row in rows]


def taken(rows):
    """A query by the items of each dense row."""
    return Query.of_items([items.tolist() for items in lists(rows)])


def test_all_are_listed():
    public = {getattr(filters, name) for name in filters.__all__}
    found = {each for each in public if issubclass(each, Filter)}
    assert found == {*FILTERS, Filter}


@pytest.mark.parametrize("cls", [cls for cls in FILTERS if cls is not Popularity])
def test_understands_blocks(cls):
    """The one item left of a user's block comes first."""
    split = blocks()
    known = Interactions.cat(split.train, split.val)
    _, item = top_k(cls(known), 1, exclude=known)
    assert item[split.test.user, 0].equal(split.test.item)


@pytest.mark.parametrize("cls", FILTERS)
def test_scores_are_those_of_rows(cls, interactions, rows):
    """Known users, and any others with the same history."""
    scorer = cls(interactions)
    everyone = torch.arange(scorer.num_users)
    expected = scorer.score(Query(everyone))
    assert expected.dtype == scorer.dtype == torch.float
    assert expected.isfinite().all()
    given = taken(rows)
    torch.testing.assert_close(scorer.score(given), expected, atol=2e-5, rtol=1e-4)
    # An item counts once, in any order.
    twice = Query.of_items(
        [[*row.tolist()[::-1], *row.tolist()] for row in lists(rows)]
    )
    assert scorer.score(twice).equal(scorer.score(given))
    assert not scorer.score(Query.of_items([[]])).any() or cls is Popularity
    some = torch.tensor([3, 0, 7, 3])
    torch.testing.assert_close(scorer.score(Query(some)), expected[some])
    assert scorer.score(Query(some[:0])).size() == (0, scorer.num_items)


@pytest.mark.parametrize("cls", FILTERS)
def test_known_users_are_those_of_their_items(cls, interactions, rows):
    """To the bit; with what they have taken since, those of both together. EASE by its
    users' side scores users whom it knows by another formula.
    """
    scorer = cls(interactions)
    user, own = torch.tensor([3, 0, 7, len(rows) - 1]), lists(rows)
    own = [own[u].tolist() for u in user.tolist()]
    expected = scorer.score(Query(user))
    found = scorer.score(Query.of_items(own))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert found.equal(expected) or (cls is EASE and scorer.by_users)
    new = next(i for i in range(rows.size(1)) if i not in own[0])
    since = [[own[0][1], new], [], own[2][:2], [4]]
    union = [sorted({*a} | {*b}) for a, b in zip(own, since, strict=True)]
    both = scorer.score(Query(user, Query.of_items(since).items))
    assert both.equal(scorer.score(Query.of_items(union)))
    assert both[1:3].equal(found[1:3])
    assert both[0].equal(found[0]) == (cls is Popularity)


@pytest.mark.parametrize("cls", FILTERS)
def test_writes_in_place(cls, interactions, rows):
    scorer = cls(interactions)
    user = torch.arange(5)
    expected = scorer.score(Query(user))
    wide = torch.full((5, scorer.num_items + 3), torch.nan)
    out = wide[:, :-3]
    assert scorer.score(Query(user), out=out) is out
    torch.testing.assert_close(out, expected)
    out.fill_(torch.nan)
    scorer.score(taken(rows[:5]), out=out)
    torch.testing.assert_close(out, expected, atol=2e-5, rtol=1e-4)
    assert wide[:, -3:].isnan().all()


@pytest.mark.parametrize("cls", FILTERS)
def test_more_users_than_fit_at_once(cls):
    interactions = synthetic_interactions(2 * WIDTH + 9, 60, 1500)
    scorer = cls(interactions)
    everyone = torch.arange(scorer.num_users)
    expected = torch.cat([scorer.score(Query(user)) for user in everyone.split(10)])
    torch.testing.assert_close(
        scorer.score(Query(everyone)), expected, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("cls", FILTERS)
def test_lists_and_figures(cls):
    """Those of the same scores as vectors."""
    split = split_ratio(synthetic_interactions(90, 70, 2000), val_ratio=0.0)
    scorer, known = cls(split.train), split.train
    score = scorer.score(Query(torch.arange(90)))
    dense = Vectors(score, torch.eye(70))
    for chunk_bytes in (1, 40 * 80 * 4, 2**28):
        value, _ = top_k(scorer, 9, exclude=known, chunk_bytes=chunk_bytes)
        expected = top_k(dense, 9, exclude=known)
        torch.testing.assert_close(value, expected[0], atol=1e-5, rtol=1e-4)
    found = evaluate(scorer, split.test, exclude=known)
    expected = evaluate(dense, split.test, exclude=known)
    assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("cls", [BSPM, ChebyCF, GFCF])
def test_same_every_time(cls):
    interactions = synthetic_interactions(300, 200, 4000)
    user = torch.arange(20)
    first = cls(interactions, rank=30).score(Query(user))
    torch.rand(3)  # Not of the global generator.
    assert cls(interactions, rank=30).score(Query(user)).equal(first)


@pytest.mark.parametrize("cls", FILTERS)
def test_nothing_known(cls):
    none = torch.empty(0, dtype=torch.long)
    scorer = cls(Interactions(none, none, 3, 5))
    assert not scorer.score(Query(torch.arange(3))).any()
    if cls is not EASE:
        assert not scorer.score(Query.of_items([[]])).any()


def test_errors(interactions):
    scorer, nan = Popularity(interactions), float("nan")
    for item in (-1, scorer.num_items):
        with pytest.raises(ValueError, match="items are counted from 0"):
            scorer.score(Query.of_items([[0], [item]]))
    for make, match in [
        (lambda: GFCF(interactions, rank=-1), "'rank'"),
        (lambda: ChebyCF(interactions, K=0), "'K'"),
        (lambda: ChebyCF(interactions, phi=-1.0), "'phi'"),
        (lambda: BSPM(interactions, solver_order=0), "'solver_order'"),
        (lambda: BSPM(interactions, num_steps=0), "'num_steps'"),
        (lambda: EASE(interactions, l2=0.0), "'l2'"),
        (lambda: SparseEASE(interactions, l2=-1.0), "'l2'"),
        (lambda: SparseEASE(interactions, k=0), "'k'"),
        (lambda: ItemKNN(interactions, k=0), "'k'"),
        (lambda: ItemKNN(interactions, shrinkage=-1.0), "'shrinkage'"),
        (lambda: ItemKNN(interactions, shrinkage=nan), "'shrinkage'"),
        (lambda: EASE(interactions, l2=nan), "'l2'"),
        (lambda: SparseEASE(interactions, l2=nan), "'l2'"),
        (lambda: GFCF(interactions, rank=-1, alpha=0.0), "'rank'"),
        (lambda: GFCF(interactions, alpha=nan), "weight of the low-pass filter"),
        (lambda: ChebyCF(interactions, phi=nan), "'phi'"),
        (lambda: ChebyCF(interactions, beta=nan), "finite power"),
        (lambda: BSPM(interactions, T=nan), "'T'"),
        (lambda: BSPM(interactions, T=-2.0), "'T'"),
    ]:
        with pytest.raises(ValueError, match=match):
            make()
