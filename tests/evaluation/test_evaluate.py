import math

import numpy as np
import pytest
import torch

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.evaluation import BEYOND_ACCURACY, METRICS, evaluate
from ltgnn_pyg.evaluation.metrics import Serendipity
from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.retrieval.rerank import Candidates, mmr
from ltgnn_pyg.scorers import Vectors


def reference(vectors, targets, seen, ks):
    """Ranks user by user and applies the definitions word by word."""
    vectors = vectors.to(torch.double)
    num_users, num_items = vectors.num_users, vectors.num_items
    scores = (vectors.user @ vectors.item.t() + vectors.item_bias).numpy()
    out = {f"{name}@{k}": [] for name in METRICS for k in ks}
    recommended = {k: set() for k in ks}
    for user in range(num_users):
        relevant = {i for u, i in targets if u == user}
        if not relevant:
            continue
        excluded = {i for u, i in seen if u == user}
        order = np.argsort(-scores[user], kind="stable")
        order = [int(i) for i in order if i not in excluded]
        for k in ks:
            hits = [i in relevant for i in order[:k]]
            gains = [1 / math.log2(rank + 2) for rank in range(k)]
            dcg = sum(gain for gain, hit in zip(gains, hits, strict=False) if hit)
            precisions = [sum(hits[: r + 1]) / (r + 1) for r, h in enumerate(hits) if h]
            out[f"recall@{k}"].append(sum(hits) / len(relevant))
            out[f"precision@{k}"].append(sum(hits) / k)
            out[f"ndcg@{k}"].append(dcg / sum(gains[: len(relevant)]))
            out[f"hit_ratio@{k}"].append(float(any(hits)))
            out[f"mrr@{k}"].append(1 / (hits.index(True) + 1) if any(hits) else 0.0)
            out[f"map@{k}"].append(sum(precisions) / min(len(relevant), k))
            recommended[k].update(order[:k])
    out = {name: float(np.mean(values)) for name, values in out.items() if values}
    return out | {f"coverage@{k}": len(recommended[k]) / num_items for k in ks}


def random_pairs(num_users=40, num_items=70, num_seen=700, num_targets=200, seed=12):
    """Disjoint seen and held-out pairs; every fourth user holds out nothing."""
    generator = torch.Generator().manual_seed(seed)
    key = torch.randperm(num_users * num_items, generator=generator)
    pairs = Interactions(key // num_items, key % num_items, num_users, num_items)
    seen, target = pairs[:num_seen], pairs[num_seen : num_seen + num_targets]
    target = target[target.user % 4 > 0]
    z = torch.randn(num_users + num_items, 6, generator=generator)
    bias = torch.randn(num_items, generator=generator)
    return Vectors(z[:num_users], z[num_users:], bias), target, seen


def as_set(pairs):
    return set(zip(pairs.user.tolist(), pairs.item.tolist(), strict=True))


# The last `k` exceeds both the candidates left for anyone and the items:
@pytest.mark.parametrize("k", [1, 5, [3, 20], 60, [5, 100]])
@pytest.mark.parametrize("num_seen", [0, 700, 2000])
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_evaluate(k, num_seen, dtype):
    vectors, target, seen = random_pairs(num_seen=num_seen)
    out = evaluate(
        vectors.to(dtype),
        target,
        exclude=seen,
        k=k,
        metrics=list(METRICS),
    )
    ks = [k] if isinstance(k, int) else k
    expected = reference(vectors, as_set(target), as_set(seen), ks)
    assert out == pytest.approx(expected, rel=1e-6)
    assert all(type(value) is float for value in out.values())


def test_numpy_k():
    vectors, target, seen = random_pairs()
    expected = evaluate(vectors, target, exclude=seen, k=[5, 10])
    for k in (np.array([5, 10]), (np.int64(5), np.int32(10)), torch.tensor([5, 10])):
        assert evaluate(vectors, target, exclude=seen, k=k) == expected
    out = evaluate(vectors, target, exclude=seen, k=np.int64(5))
    assert out == {name: expected[name] for name in ("recall@5", "ndcg@5")}


def test_by_hand():
    # The user's coordinate of an item is its score, so the users rank the items
    # 0 1 2 3, 3 2 1 0 and 1 3 0 2:
    item = torch.tensor([[4.0, 1, 2], [3, 2, 4], [2, 3, 1], [1, 4, 3]])
    vectors = Vectors(torch.eye(3), item)
    # User 0 finds item 2 second once 0 is excluded, user 1 finds 3 but not 0, and
    # user 2 has no target:
    target = Interactions(torch.tensor([0, 1, 1]), torch.tensor([2, 0, 3]), 3, 4)
    seen = Interactions(torch.tensor([0, 2]), torch.tensor([0, 1]), 3, 4)
    out = evaluate(
        vectors,
        target,
        exclude=seen,
        k=[1, 2],
        metrics=list(METRICS),
    )
    second = 1 / math.log2(3)
    assert out == pytest.approx(
        {
            "recall@1": (0 + 1 / 2) / 2,
            "ndcg@1": (0 + 1) / 2,
            "precision@1": (0 + 1) / 2,
            "hit_ratio@1": (0 + 1) / 2,
            "mrr@1": (0 + 1) / 2,
            "map@1": (0 + 1) / 2,
            "coverage@1": 2 / 4,
            "recall@2": (1 + 1 / 2) / 2,
            "ndcg@2": (second + 1 / (1 + second)) / 2,
            "precision@2": (1 / 2 + 1 / 2) / 2,
            "hit_ratio@2": 1,
            "mrr@2": (1 / 2 + 1) / 2,
            "map@2": (1 / 2 + 1 / 2) / 2,
            "coverage@2": 3 / 4,
        }
    )


def test_perfect_vectors():
    _, target, seen = random_pairs()
    user = torch.zeros(40, 70)
    user[target.user, target.item] = 1.0
    most = int(target.user.bincount().max())
    args = {
        "exclude": seen,
        "k": most,
        "metrics": ["recall", "ndcg", "hit_ratio", "mrr", "map"],
    }
    out = evaluate(Vectors(user, torch.eye(70)), target, **args)
    assert out == pytest.approx(dict.fromkeys(out, 1.0))
    user[seen.user, seen.item] = 2.0  # Seen items are out of the way.
    assert evaluate(Vectors(user, torch.eye(70)), target, **args) == out


def test_validation_items_make_room_at_test_time():
    """Left in, what is known from validation takes the places of the test items."""
    _, pairs, train = random_pairs()
    val, test = pairs[::2], pairs[1::2]
    score = torch.rand(40, 70)
    score[val.user, val.item] += 1.0
    score[test.user, test.item] += 0.5
    vectors = Vectors(score, torch.eye(70), torch.zeros(70))
    known = Interactions.cat(train, val)
    out = evaluate(vectors, test, exclude=known, k=10)
    expected = reference(vectors, as_set(test), as_set(known), [10])
    assert out == pytest.approx({name: expected[name] for name in out}, rel=1e-6)
    left_in = evaluate(vectors, test, exclude=train, k=10)
    assert all(out[name] > left_in[name] for name in out)


def test_chunks_agree():
    vectors, target, seen = random_pairs()
    vectors = vectors.to(torch.double)
    args = {"exclude": seen, "metrics": list(METRICS)}
    expected = evaluate(vectors, target, **args)
    for chunk_bytes in [1, 10_000]:
        out = evaluate(vectors, target, chunk_bytes=chunk_bytes, **args)
        assert out == pytest.approx(expected, rel=1e-6)


def test_sample_of_users():
    vectors, target, seen = random_pairs()
    user = torch.tensor([17, 4, 2, 4])  # User 4 holds out nothing.
    args = {"exclude": seen, "metrics": list(METRICS)}
    out = evaluate(vectors, target, user=user, **args)
    pairs = {(u, i) for u, i in as_set(target) if u in (17, 2)}
    expected = reference(vectors, pairs, as_set(seen), [20])
    assert out == pytest.approx(expected, rel=1e-6)


def test_order_and_repeats_of_pairs_do_not_matter():
    vectors, target, seen = random_pairs()
    expected = evaluate(vectors, target, exclude=seen)
    pairs = [part[torch.arange(len(part)).flip(0).repeat(2)] for part in (target, seen)]
    out = evaluate(vectors, pairs[0], exclude=pairs[1])
    assert out == expected


def test_ties():
    _, target, seen = random_pairs()
    vectors = Vectors(torch.ones(40, 4), torch.ones(70, 4))
    out = evaluate(vectors, target, exclude=seen, k=70)
    assert out["recall@70"] == 1.0  # All that is left is recommended.


def test_many_users_are_summed_in_double_precision():
    # A user in three gets a hit in first place. Summed in single precision and small
    # chunks, the thirds of reciprocal ranks would drift:
    num_users = 30_000
    vectors = Vectors(torch.ones(num_users, 1), torch.tensor([[3.0], [2.0], [1.0]]))
    user = torch.arange(num_users)
    target = Interactions(user, user % 3, num_users, 3)
    out = evaluate(vectors, target, k=3, metrics=["mrr"], chunk_bytes=64 * 3 * 64)
    assert out["mrr@3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3, rel=1e-7)


def beyond(lists, row, seen, ks, num_users, num_items):
    """The definitions word by word, of lists of items by user, held-out pairs aside."""
    taken = [len({u for u, i in seen if i == j}) for j in range(num_items)]
    out = {}
    for k in ks:
        short = [[i for i in items[:k] if i >= 0] for items in lists]
        count = [sum(i in items for items in short) for i in range(num_items)]
        total = sum(abs(a - b) for a in count for b in count)
        pairs = [
            [1 - float(row[i] @ row[j] / row[i].norm() / row[j].norm())
             for i in items for j in items if i != j]
            for items in short
        ]  # fmt: skip
        common = [
            len({*a} & {*b}) / k for a in short for b in short if a is not b
        ]  # fmt: skip
        novelty = [[-math.log2(max(taken[i], 1) / num_users) for i in items]
                   for items in short]  # fmt: skip
        popularity = [[taken[i] for i in items] for items in short]
        out[f"gini@{k}"] = total / (2 * num_items * sum(count))
        out[f"personalization@{k}"] = 1 - np.mean(common)
        for name, values in (
            ("ild", pairs), ("novelty", novelty), ("average_popularity", popularity)
        ):  # fmt: skip
            means = [np.mean(each) if each else 0.0 for each in values]
            out[f"{name}@{k}"] = float(np.mean(means))
    return out


@pytest.mark.parametrize("num_seen", [300, 2000])
@pytest.mark.parametrize("k", [[5], [3, 60]])
def test_beyond_accuracy(k, num_seen):
    vectors, target, seen = random_pairs(num_seen=num_seen)
    vectors = vectors.to(torch.double)
    names = [name for name in BEYOND_ACCURACY if name != "serendipity"]
    kwargs = {"exclude": seen, "k": k, "item_vector": vectors.item}
    out = evaluate(vectors, target, metrics=names, **kwargs)
    user = target.user.unique()
    _, item = top_k(vectors, max(k), user=user, exclude=seen)
    expected = beyond(item.tolist(), vectors.item, as_set(seen), k, 40, 70)
    assert out == pytest.approx(expected, rel=1e-6)
    chunked = evaluate(vectors, target, metrics=names, chunk_bytes=1, **kwargs)
    assert chunked == pytest.approx(expected, rel=1e-6)


def test_popularity_is_that_of_the_excluded_pairs():
    vectors, target, seen = random_pairs()
    user, row = target.user.unique(return_inverse=True)
    _, item = top_k(vectors, 10, user=user, exclude=seen)
    metric = Serendipity(10, torch.bincount(seen.item, minlength=70))
    metric.update(item, (row, target.item))
    kwargs = {"k": 10, "metrics": ["serendipity"]}
    twice = Interactions.cat(seen, seen)  # Repeated pairs count once.
    out = evaluate(vectors, target, exclude=twice, **kwargs)
    assert out["serendipity@10"] == pytest.approx(float(metric.compute())) != 0.0


def test_lists_of_any_origin():
    vectors, target, seen = random_pairs()
    user = torch.randperm(40)  # Some hold out nothing.
    lists = Candidates(user, *top_k(vectors, 30, user=user, exclude=seen))
    args = {"exclude": seen, "k": [5, 20], "item_vector": vectors.item}
    args["metrics"] = [*METRICS, *BEYOND_ACCURACY]
    expected = evaluate(vectors, target, **args)
    for chunk_bytes in (2**28, 1):
        out = evaluate(vectors, target, lists=lists, chunk_bytes=chunk_bytes, **args)
        assert out == pytest.approx(expected, rel=1e-6)
    few = Candidates(*(each[:15] for each in lists))
    out = evaluate(vectors, target, lists=few, **args)
    assert out == pytest.approx(
        evaluate(vectors, target, user=user[:15], **args), rel=1e-6
    )
    both = evaluate(vectors, target, lists=few, user=user[10:], **args)
    assert both == evaluate(vectors, target, user=user[10:15], **args)

    diverse = mmr(lists, vectors.item, k=20, lam=0.3)
    diverse.item[3, 10:] = -1  # A short list.
    out = evaluate(vectors, target, lists=diverse, **args)
    assert out["ild@20"] > expected["ild@20"]
    assert out["recall@20"] < expected["recall@20"]
    place = {u: row for row, u in enumerate(user.tolist())}
    rows = [diverse.item[place[u]].tolist() for u in target.user.unique().tolist()]
    found = beyond(rows, vectors.item, as_set(seen), [5, 20], 40, 70)
    assert {name: out[name] for name in found} == pytest.approx(found, rel=1e-5)
    hits = [
        len({i for i in row if i >= 0} & {i for u, i in as_set(target) if u == v})
        for row, v in zip(rows, target.user.unique().tolist(), strict=True)
    ]
    assert out["precision@20"] == pytest.approx(np.mean(hits) / 20)


def test_errors_of_lists():
    vectors, target, seen = random_pairs()
    user = torch.arange(40)
    lists = Candidates(user, *top_k(vectors, 20, exclude=seen))
    item = lists.item.clone()
    item[0, 1] = item[0, 0]
    for kwargs, match in [
        ({"metrics": ["ild"]}, r"'item_vector' \[70, D\] for 'ild' \(got None\)"),
        ({"metrics": ["ild"], "item_vector": vectors.item[1:]}, r"\[69, 6\]"),
        ({"metrics": ["novelty"], "exclude": None}, "'exclude' for"),
        ({"lists": lists, "k": 21}, "'lists' of 21 items"),
        ({"lists": lists._replace(user=user % 39)}, "a list for each user"),
        ({"lists": lists._replace(user=user + 1)}, r"users of 'lists' in \[0, 40\)"),
        ({"lists": lists._replace(item=item)}, "an item once"),
        ({"lists": lists._replace(item=lists.item + 70)}, r"items in \[0, 70\)"),
    ]:
        with pytest.raises(ValueError, match=match):
            evaluate(vectors, target, **{"exclude": seen, **kwargs})


def test_errors():
    vectors, target, _ = random_pairs()
    user, item = target.user, target.item
    of_others = Interactions(user, item, 41, 70), Interactions(user, item, 40, 71)
    for pairs, kwargs, match in [
        (target, {"k": 0}, "'k' >= 1"),
        (target, {"k": []}, "'k' >= 1"),
        (target, {"metrics": []}, "'metrics' among"),
        (target, {"metrics": ["recal"]}, "'metrics' among"),
        (target, {"metrics": "recall"}, "'metrics' among"),
        (target[:0], {}, "held-out pair"),
        (target, {"user": torch.tensor([4])}, "held-out pair"),
        *((other, {}, "'held_out' of 40 users and 70 items") for other in of_others),
        *((target, {"exclude": each}, "'exclude' of 40 users") for each in of_others),
        (target, {"exclude": target[:1]}, "disjoint"),
    ]:
        with pytest.raises(ValueError, match=match):
            evaluate(vectors, pairs, **kwargs)
