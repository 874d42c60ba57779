import pytest
import torch

from ltgnn_pyg import Graph
from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.evaluation import choose_blend, evaluate
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.scorers import Blend, FoldIn, Query, Vectors
from ltgnn_pyg.scorers.filters import EASE

devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def vectors(seed, num_users=9, num_items=31, dtype=torch.double):
    g = torch.Generator().manual_seed(seed)
    user = torch.randn(num_users, 4, generator=g, dtype=torch.double)
    item = torch.randn(num_items, 4, generator=g, dtype=torch.double)
    bias = torch.randn(num_items, generator=g, dtype=torch.double)
    return Vectors(user.to(dtype), item.to(dtype), bias.to(dtype))


def held(user, item):
    return Interactions(user, item, 9, 31)


class WithoutFirst(Vectors):
    """Never wants the first item."""

    def score(self, query, out=None):
        score = super().score(query, out)
        score[:, 0] = -torch.inf
        return score


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("device", devices)
def test_is_the_sum_of_standardised_scores(weight, device):
    one, other = (vectors(seed).to(device) for seed in (0, 1))
    blend = Blend(one, other, weight)
    assert (blend.num_users, blend.num_items) == (9, 31)
    assert blend.dtype == torch.double and blend.device == one.device
    user = torch.tensor([4, 0, 4], device=device)
    expected = 0.0
    for scorer, share in ((one, 1.0 - weight), (other, weight)):
        score = scorer.user[user] @ scorer.item.t() + scorer.item_bias
        std, mean = torch.std_mean(score, dim=1, keepdim=True, correction=0)
        expected = expected + share * (score - mean) / std
    torch.testing.assert_close(blend.score(Query(user)), expected)
    room = torch.full((3, 40), torch.nan, dtype=torch.double, device=device)
    torch.testing.assert_close(blend.score(Query(user), out=room[:, :31]), expected)
    assert room[:, 31:].isnan().all()


def test_alone_ranks_as_it_is_and_units_do_not_matter():
    one, other = vectors(0), vectors(1)
    far = Vectors(1e3 * other.user, other.item, 1e3 * other.item_bias)
    for weight, scorer in ((0.0, one), (1.0, other)):
        assert top_k(Blend(one, other, weight), 7)[1].equal(top_k(scorer, 7)[1])
    lists = [top_k(Blend(one, second, 0.4), 7)[1] for second in (other, far)]
    assert lists[0].equal(lists[1])


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
def test_who_is_scored_alike_by_one_is_scored_by_the_other(level):
    one = vectors(0, dtype=torch.float)
    flat = Vectors(torch.zeros(9, 1), torch.zeros(31, 1), torch.full((31,), level))
    score = Blend(one, flat, 0.9).score(Query(torch.arange(9)))
    assert score.isfinite().all()
    assert top_k(Blend(one, flat, 0.9), 7)[1].equal(top_k(one, 7)[1])
    assert not Blend(flat, flat, 0.5).score(Query(torch.arange(9))).any()


def test_of_two_types():
    one, other = vectors(0, dtype=torch.float), vectors(1)
    user = torch.arange(9)
    for pair in ((one, other), (other, one)):
        blend = Blend(*pair, 0.5)
        assert blend.score(Query(user)).dtype == blend.dtype == torch.double
        expected = Blend(*(vectors(0), vectors(1)), 0.5).score(Query(user))
        torch.testing.assert_close(
            blend.score(Query(user)), expected, atol=1e-5, rtol=1e-4
        )


def test_the_best_weight_is_found_by_trying_all():
    one, others = vectors(0), [vectors(1), vectors(2)]
    # Held out is what a blend of a third and two thirds would list.
    item = top_k(Blend(one, others[1], 0.3), 3)[1]
    pairs = held(torch.arange(9).repeat_interleave(3), item.flatten())
    found = choose_blend(one, others, pairs, k=3)
    assert (found.first, found.second, found.weight) == (one, others[1], 0.3)
    assert evaluate(found, pairs, k=3)["recall@3"] == 1.0
    # What the first lists itself, it lists alone.
    item = top_k(one, 3, user=torch.tensor([2, 5]))[1]
    pairs = held(torch.tensor([2] * 3 + [5] * 3), item.flatten())
    found = choose_blend(one, others, pairs, k=3, metric="ndcg", weights=[0.7, 0.0])
    assert found.weight == 0.0
    # Of these users alone, with those pairs left out.
    seen = held(torch.full((31,), 7), torch.arange(31))
    args = {"exclude": seen, "user": torch.tensor([2])}
    assert choose_blend(one, others, pairs, k=3, **args).weight == 0.0


def test_the_lower_weight_among_equals():
    """Of whichever other, and the first alone is evaluated once."""
    one, other = vectors(0), vectors(1)
    item = top_k(Blend(one, other, 0.3), 3)[1]
    pairs = held(torch.arange(9).repeat_interleave(3), item.flatten())
    same = Blend(one, other, 0.3)  # Finds the same lists alone, at weight 1.
    for others in ([same, other], [other, same]):
        found = choose_blend(one, others, pairs, k=3, weights=[1.0, 0.3])
        assert (found.second, found.weight) == (other, 0.3)
    asked, score = [], Blend.score
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Blend, "score", lambda self, *a, **k: (
            asked.append(self.weight), score(self, *a, **k))[1])  # fmt: skip
        choose_blend(one, [vectors(2), other], pairs, k=3, weights=[0.0, 0.5])
    assert asked == [0.0, 0.5, 0.5]


def test_the_weight_is_that_of_the_users_and_the_pairs_given():
    one, other = vectors(0), vectors(1)
    first, second = (top_k(s, 6)[1] for s in (one, other))
    # User 2 takes what the first lists, and user 5 what the second does.
    item = torch.cat([first[2, :3], second[5, :3]])
    pairs = held(torch.tensor([2] * 3 + [5] * 3), item)
    for user, weight in ((2, 0.0), (5, 1.0)):
        args = {"k": 3, "weights": [1.0, 0.0], "user": torch.tensor([user])}
        assert choose_blend(one, [other], pairs, **args).weight == weight
    # What the first lists after what is known, and one thing that the second lists.
    new = second[5][~torch.isin(second[5], first[5])][:1]
    pairs = held(torch.full((4,), 5), torch.cat([first[5, 3:], new]))
    seen = held(torch.full((3,), 5), first[5, :3])
    args = {"k": 3, "weights": [1.0, 0.0]}
    found = choose_blend(one, [other], pairs, exclude=seen, **args)
    assert found.weight == 0.0
    assert choose_blend(one, [other], pairs, **args).weight == 1.0


def test_errors():
    one = vectors(0)
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"'weight' in \[0, 1\]"):
            Blend(one, vectors(1), weight)
    with pytest.raises(ValueError, match="got 9 and 31, 9 and 30"):
        Blend(one, vectors(1, num_items=30), 0.5)
    without = WithoutFirst(one.user, one.item, one.item_bias)
    for pair in ((without, one), (one, without)):
        with pytest.raises(ValueError, match="Expected finite scores of both"):
            Blend(*pair, 0.0).score(Query(torch.arange(9)))
    pairs = held(torch.tensor([0]), torch.tensor([0]))
    with pytest.raises(ValueError, match="something to blend"):
        choose_blend(one, [], pairs)
    with pytest.raises(ValueError, match="something to blend"):
        choose_blend(one, [one], pairs, weights=[])


def test_any_query():
    """Users, items, or both: the blend is of what both say."""
    known = held(torch.arange(9).repeat_interleave(4), torch.arange(36) * 5 % 31)
    graph = Graph.from_interactions(known)
    one = FoldIn(vectors(0, dtype=torch.float), graph.item_degree, 0.3, graph.rows)
    other = EASE(known, l2=1.0)
    blend, items = Blend(one, other, 0.3), Query.of_items([[1, 2], [30], [7]]).items
    user = torch.tensor([4, 0, 4])
    for query in (Query(user), Query(items=items), Query(user, items)):
        expected = 0.0
        for scorer, share in ((one, 0.7), (other, 0.3)):
            score = scorer.score(query).double()
            std, mean = torch.std_mean(score, dim=1, keepdim=True, correction=0)
            expected = expected + share * (score - mean) / std
        found = blend.score(query).double()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
