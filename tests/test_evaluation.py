import math

import numpy as np
import pytest
import torch

from ltgnn_pyg.evaluation import METRICS, evaluate


def reference(embedding, targets, seen, num_users, ks):
    """Ranks user by user and applies the definitions word by word."""
    z = embedding.double().numpy()
    num_items = len(z) - num_users
    out = {f"{name}@{k}": [] for name in METRICS for k in ks}
    recommended = {k: set() for k in ks}
    for user in range(num_users):
        relevant = {i for u, i in targets if u == user}
        if not relevant:
            continue
        excluded = {i for u, i in seen if u == user}
        order = np.argsort(-(z[num_users:] @ z[user]), kind="stable") + num_users
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
    pair = torch.stack([key // num_items, num_users + key % num_items])
    seen, target = pair[:, :num_seen], pair[:, num_seen : num_seen + num_targets]
    target = target[:, target[0] % 4 > 0]
    z = torch.randn(num_users + num_items, 6, generator=generator)
    return z, target, seen


def as_set(pairs):
    return set(map(tuple, pairs.t().tolist()))


# The last `k` exceeds both the candidates left for anyone and the items:
@pytest.mark.parametrize("k", [1, 5, [3, 20], 60, [5, 100]])
@pytest.mark.parametrize("num_seen", [0, 700, 2000])
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_evaluate(k, num_seen, dtype):
    z, target, seen = random_pairs(num_seen=num_seen)
    out = evaluate(
        z.to(dtype),
        target,
        num_users=40,
        exclude_edge_index=seen,
        k=k,
        metrics=list(METRICS),
    )
    ks = [k] if isinstance(k, int) else k
    expected = reference(z, as_set(target), as_set(seen), 40, ks)
    assert out == pytest.approx(expected, rel=1e-6)
    assert all(type(value) is float for value in out.values())


def test_by_hand():
    # The user's coordinate of an item is its score, so the users rank the items
    # 3 4 5 6, 6 5 4 3 and 4 6 3 5:
    item = torch.tensor([[4.0, 1, 2], [3, 2, 4], [2, 3, 1], [1, 4, 3]])
    z = torch.cat([torch.eye(3), item])
    # User 0 finds item 5 second once 3 is excluded, user 1 finds 6 but not 3, and
    # user 2 has no target:
    target = torch.tensor([[0, 1, 1], [5, 3, 6]])
    seen = torch.tensor([[0, 2], [3, 4]])
    out = evaluate(
        z,
        target,
        num_users=3,
        exclude_edge_index=seen,
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


def test_perfect_embedding():
    _, target, seen = random_pairs()
    z = torch.zeros(110, 70)
    z[target[0], target[1] - 40] = 1.0
    z[40:] = torch.eye(70)
    args = {"num_users": 40, "exclude_edge_index": seen}
    most = int(target[0].bincount().max())
    metrics = ["recall", "ndcg", "hit_ratio", "mrr", "map"]
    out = evaluate(z, target, k=most, metrics=metrics, **args)
    assert out == pytest.approx(dict.fromkeys(out, 1.0))
    z[seen[0], seen[1] - 40] = 2.0  # Seen items are out of the way.
    assert evaluate(z, target, k=most, metrics=metrics, **args) == out


def test_chunks_agree():
    z, target, seen = random_pairs()
    args = {"num_users": 40, "exclude_edge_index": seen, "metrics": list(METRICS)}
    expected = evaluate(z.double(), target, **args)
    for chunk_bytes in [1, 10_000]:
        out = evaluate(z.double(), target, chunk_bytes=chunk_bytes, **args)
        assert out == pytest.approx(expected, rel=1e-6)


def test_sample_of_users():
    z, target, seen = random_pairs()
    user = torch.tensor([17, 4, 2, 4])  # User 4 holds out nothing.
    args = {"num_users": 40, "exclude_edge_index": seen, "metrics": list(METRICS)}
    out = evaluate(z, target, user=user, **args)
    pairs = {(u, i) for u, i in as_set(target) if u in (17, 2)}
    expected = reference(z, pairs, as_set(seen), 40, [20])
    assert out == pytest.approx(expected, rel=1e-6)


def test_order_and_repeats_of_pairs_do_not_matter():
    z, target, seen = random_pairs()
    expected = evaluate(z, target, num_users=40, exclude_edge_index=seen)
    out = evaluate(
        z,
        target.flip(1).repeat(1, 2),
        num_users=40,
        exclude_edge_index=seen.flip(1).repeat(1, 2),
    )
    assert out == expected


def test_ties():
    _, target, seen = random_pairs()
    out = evaluate(
        torch.ones(110, 4), target, num_users=40, exclude_edge_index=seen, k=70
    )
    assert out["recall@70"] == 1.0  # All that is left is recommended.


def test_many_users_are_summed_in_double_precision():
    # A user in three gets a hit in first place. Summed in single precision and small
    # chunks, the thirds of reciprocal ranks would drift:
    num_users = 30_000
    z = torch.cat([torch.ones(num_users, 1), torch.tensor([[3.0], [2.0], [1.0]])])
    user = torch.arange(num_users)
    target = torch.stack([user, num_users + user % 3])
    out = evaluate(
        z, target, num_users=num_users, k=3, metrics=["mrr"], chunk_bytes=64 * 3 * 64
    )
    assert out["mrr@3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3, rel=1e-7)


def test_errors():
    z, target, seen = random_pairs()
    both = torch.cat([seen, seen.flip(0)], dim=1)
    for embedding, pairs, kwargs, match in [
        (z[0], target, {}, r"'embedding' \[N, D\]"),
        (z, target, {"num_users": 110}, "at least one item"),
        (z, target, {"num_users": 0}, "of 0 users"),
        (z.where(z != z[1, 1], torch.nan), target, {}, "finite 'embedding'"),
        (z, target, {"k": 0}, "'k' >= 1"),
        (z, target, {"k": []}, "'k' >= 1"),
        (z, target, {"metrics": []}, "'metrics' among"),
        (z, target, {"metrics": ["recal"]}, "'metrics' among"),
        (z, target, {"metrics": "recall"}, "'metrics' among"),
        (z, target[:, :0], {}, "held-out pair"),
        (z, target, {"user": torch.tensor([4])}, "held-out pair"),
        (z, target[0], {}, r"'edge_label_index' \[2, E\]"),
        (z, target.int(), {}, "int64"),
        (z, target.flip(0), {}, r"\[0, 40\) in the first row of 'edge_label"),
        (z, target - torch.tensor([[0], [40]]), {}, "item ids start at 'num_users'"),
        (z, target + torch.tensor([[0], [70]]), {}, "item ids start at 'num_users'"),
        (z, target, {"exclude_edge_index": both}, "both directions"),
        (z, target, {"exclude_edge_index": target[:, :1]}, "disjoint"),
    ]:
        with pytest.raises(ValueError, match=match):
            evaluate(embedding, pairs, **{"num_users": 40, **kwargs})
