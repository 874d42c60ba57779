"""The metrics of lists as sums over users, to be added up where users are apart."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import index as as_int
from typing import SupportsIndex

import torch
from torch import Tensor
from torch_geometric.metrics import (
    LinkPredCoverage,
    LinkPredHitRatio,
    LinkPredMAP,
    LinkPredMetric,
    LinkPredMetricCollection,
    LinkPredMRR,
    LinkPredNDCG,
    LinkPredPrecision,
    LinkPredRecall,
)
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.evaluation.metrics import (
    ILD,
    Gini,
    ItemCount,
    ItemMean,
    Personalization,
    Serendipity,
)
from ltgnn_pyg.retrieval.rerank import Candidates
from ltgnn_pyg.scorers import Scorer, top_k

#: Metrics of the lists and the held-out pairs.
METRICS = {
    "recall": LinkPredRecall,
    "ndcg": LinkPredNDCG,
    "precision": LinkPredPrecision,
    "hit_ratio": LinkPredHitRatio,
    "mrr": LinkPredMRR,
    "map": LinkPredMAP,
    "coverage": LinkPredCoverage,
}
#: Metrics that need the popularity of items.
OF_POPULARITY = ("novelty", "serendipity", "average_popularity")
BEYOND_ACCURACY = ("gini", "personalization", "ild", *OF_POPULARITY)


def measure(
    scorer: Scorer,
    held_out: Interactions,
    *,
    exclude: Interactions | None,
    k: SupportsIndex | Sequence[SupportsIndex],
    metrics: Sequence[str],
    user: Tensor | None,
    lists: Candidates | None = None,
    item_vector: Tensor | None,
    popularity: Tensor | None = None,
    num_users: int | None = None,
    chunk_bytes: int,
) -> LinkPredMetricCollection:
    """The metrics of :func:`evaluate` as sums over users, to be added up where users
    are ranked apart; there, :obj:`popularity` and :obj:`num_users` are those of all.
    """
    ks = [as_int(length) for length in (k if isinstance(k, Iterable) else [k])]
    if not ks or min(ks) < 1:
        raise ValueError(f"Expected 'k' >= 1 (got {k}); name a length of the ranking")
    names = [*METRICS, *BEYOND_ACCURACY]
    if not metrics or not set(names) >= set(metrics):
        raise ValueError(
            f"Expected 'metrics' among {names} (got {metrics}); pass a list of them"
        )

    # A pair as one sorted number, its user times the number of items plus its item:
    num_own, num_items = scorer.num_users, scorer.num_items
    label = _to_key(scorer, held_out, "held_out")
    if user is not None:
        label = label[torch.isin(label // num_items, user.to(label.device))]
    if lists is not None:
        place = _check_lists(lists, max(ks), num_own, num_items).to(label.device)
        label = label[place[label // num_items] >= 0]
    known = None
    if exclude is not None:
        key = _to_key(scorer, exclude, "exclude")
        known = (index2ptr(key // num_items, num_own), key % num_items)
        if popularity is None:
            popularity = torch.bincount(known[1], minlength=num_items)
        if torch.isin(label, key, assume_unique=True).any():
            raise ValueError(
                "Expected 'held_out' and 'exclude' to be disjoint (got pairs in both); "
                "drop them from one"
            )

    make = _makers(num_items, num_users or num_own, item_vector, popularity, metrics)
    collection = LinkPredMetricCollection(
        {f"{name}@{k}": make[name](k) for k in ks for name in metrics}
    ).to(label.device)
    for metric in collection.values():  # Sum over users in double precision.
        if not isinstance(metric, LinkPredCoverage):
            metric.accum = metric.accum.double()

    users, row = torch.unique_consecutive(label // num_items, return_inverse=True)
    rowptr = index2ptr(row, users.numel()).tolist()
    step = max(chunk_bytes // (64 * max(ks)), 1)
    for start in range(0, users.numel(), step):
        chunk = users[start : start + step]
        if lists is None:
            _, item = top_k(
                scorer, max(ks), user=chunk, exclude=known, chunk_bytes=chunk_bytes
            )
        else:
            item = lists.item[place[chunk].to(lists.item.device), : max(ks)]
            item = item.to(label.device)
        item = item.masked_fill(item < 0, num_items)
        pairs = slice(rowptr[start], rowptr[start + chunk.numel()])
        collection.update(item, (row[pairs] - start, label[pairs] % num_items))

    return collection


def values_of(collection: LinkPredMetricCollection) -> dict[str, float]:
    """The values of the metrics of :func:`measure`."""
    # Metrics are read without `compute()`, which waits for other processes:
    out = {}
    for name, metric in collection.items():
        if isinstance(metric, LinkPredCoverage):
            mask = metric.mask[:-1]
            value, found = mask.double().mean(), mask.any()
        elif isinstance(metric, ItemCount):
            value, found = metric.of_count(metric.accum, metric.total), metric.total > 0
        else:
            value, found = metric.accum / metric.total, metric.total > 0
        if not bool(found):
            raise ValueError(
                "Expected a held-out pair of the users to evaluate in 'held_out' (got "
                "none); pass the part to evaluate on"
            )
        out[name] = float(value)
    return out


def _makers(
    num_items: int,
    num_users: int,
    item_vector: Tensor | None,
    popularity: Tensor | None,
    metrics: Sequence[str],
) -> dict[str, Callable[[int], LinkPredMetric]]:
    """Metrics by name, of a length; the item after the last pads short lists."""
    make: dict[str, Callable[[int], LinkPredMetric]] = {
        **METRICS,
        "coverage": partial(LinkPredCoverage, num_dst_nodes=num_items + 1),
        "gini": partial(Gini, num_items=num_items),
        "personalization": partial(Personalization, num_items=num_items),
    }
    if "ild" in metrics:
        if item_vector is None or list(item_vector.size())[:-1] != [num_items]:
            raise ValueError(
                f"Expected 'item_vector' [{num_items}, D] for 'ild' (got "
                f"{None if item_vector is None else list(item_vector.size())}); pass "
                "vectors.item, or a column for each category"
            )
        make["ild"] = partial(ILD, item_vector=item_vector)
    if asked := [name for name in OF_POPULARITY if name in metrics]:
        if popularity is None:
            raise ValueError(
                f"Expected 'exclude' for {asked} (got None); pass the "
                "pairs that are known, of which popularity is counted"
            )
        taken = popularity.double()
        novelty = -(taken.clamp(min=1.0) / num_users).log2()
        make["novelty"] = partial(ItemMean, value=novelty)
        make["average_popularity"] = partial(ItemMean, value=taken)
        make["serendipity"] = partial(Serendipity, popularity=popularity)
    return make


def _check_lists(lists: Candidates, k: int, num_users: int, num_items: int) -> Tensor:
    """The place of each user's list, -1 if there is none."""
    lists.check(num_items)
    user, item = lists.user, lists.item
    if user.unique().numel() < user.numel():
        raise ValueError("Expected a list for each user (got several); drop repeats")
    if user.numel() > 0 and (user.min() < 0 or user.max() >= num_users):
        raise ValueError(
            f"Expected users of 'lists' in [0, {num_users}) (got {int(user.min())} to "
            f"{int(user.max())}); users are counted from 0"
        )
    if item.size(1) < k:
        raise ValueError(
            f"Expected 'lists' of {k} items, the largest 'k' (got {item.size(1)}); "
            "make longer ones, or lower 'k'"
        )
    ordered = item[:, :k].sort(dim=1).values
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError(
            "Expected an item once in a list (got one twice); drop repeats"
        )
    place = user.new_full((num_users,), -1)
    place[user] = torch.arange(user.numel(), device=user.device)
    return place


def _to_key(scorer: Scorer, interactions: Interactions, name: str) -> Tensor:
    given = scorer.check(interactions, name)
    return torch.unique(given.user * scorer.num_items + given.item)
