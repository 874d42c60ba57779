from collections.abc import Iterable, Sequence
from operator import index as as_int
from typing import SupportsIndex

import torch
from torch import Tensor
from torch_geometric.metrics import (
    LinkPredCoverage,
    LinkPredHitRatio,
    LinkPredMAP,
    LinkPredMetricCollection,
    LinkPredMRR,
    LinkPredNDCG,
    LinkPredPrecision,
    LinkPredRecall,
)
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.retrieval import Scorer, top_k

METRICS = {
    "recall": LinkPredRecall,
    "ndcg": LinkPredNDCG,
    "precision": LinkPredPrecision,
    "hit_ratio": LinkPredHitRatio,
    "mrr": LinkPredMRR,
    "map": LinkPredMAP,
    "coverage": LinkPredCoverage,
}


@torch.no_grad()
def evaluate(
    scorer: Scorer,
    edge_label_index: Tensor,
    *,
    exclude_edge_index: Tensor | None = None,
    k: SupportsIndex | Sequence[SupportsIndex] = 20,
    metrics: Sequence[str] = ("recall", "ndcg"),
    user: Tensor | None = None,
    chunk_bytes: int = 2**28,
) -> dict[str, float]:
    r"""Ranks all items for every user by their scores, and measures where the
    held-out items land, with the metrics of :mod:`torch_geometric.metrics` averaged
    over users.

    Users without a held-out item are neither scored nor counted. Repeated pairs
    count once. What is known when the list is made is left out of it: validation
    ranks all but the training items, the final test all but the items of training
    **and** validation.

    .. code-block:: python

        vectors = model.vectors(data.edge_index)
        train, val, test = (
            part.edge_label_index for part in (split.train, split.val, split.test)
        )
        evaluate(vectors, val, exclude_edge_index=train)
        evaluate(vectors, test, exclude_edge_index=torch.cat([train, val], dim=1),
                 k=[10, 20])
        >>> {'recall@10': ..., 'ndcg@10': ..., 'recall@20': ..., 'ndcg@20': ...}

    Args:
        scorer (Scorer): What scores: :class:`~ltgnn_pyg.retrieval.Vectors`, or a
            filter of :mod:`ltgnn_pyg.filters`.
        edge_label_index (torch.Tensor): The held-out pairs, node ids of user (first
            row) and item (which start at :math:`U`).
        exclude_edge_index (torch.Tensor, optional): The pairs of user (first row)
            and item that are never ranked: training interactions, and at test time
            those of validation too. (default: :obj:`None`)
        k (int or Sequence[int], optional): The lengths of the ranking to
            evaluate. (default: :obj:`20`)
        metrics (Sequence[str], optional): The metrics, any of :obj:`"recall"`,
            :obj:`"ndcg"`, :obj:`"precision"`, :obj:`"hit_ratio"`, :obj:`"mrr"`,
            :obj:`"map"`, and :obj:`"coverage"` (the share of all items that
            is recommended to anyone).
            (default: :obj:`("recall", "ndcg")`)
        user (torch.Tensor, optional): The users to evaluate, *e.g.*, a sample. If
            :obj:`None`, evaluates all of them. (default: :obj:`None`)
        chunk_bytes (int, optional): The memory the scores of a chunk of users may
            take, see :meth:`~ltgnn_pyg.retrieval.top_k`.
            (default: :obj:`2**28`)

    Shapes:
        - **input:** :obj:`edge_label_index` :math:`(2, L)`,
          :obj:`exclude_edge_index` :math:`(2, E)`, :obj:`user` :math:`(Q)`
        - **output:** a value for each :obj:`"{metric}@{k}"`

    Raises:
        ValueError: If shapes, types or ranges of the arguments do not fit, if there
            is nothing to evaluate, or if a held-out pair is excluded (so that
            nobody could rank it).

    *Cost:* That of the scores, for vectors :math:`O(U I D)` time,
    :math:`O((L + E) \log (L + E))` for the pairs, and memory linear in both beyond a
    chunk.
    """
    collection = measure(
        scorer,
        edge_label_index,
        exclude_edge_index=exclude_edge_index,
        k=k,
        metrics=metrics,
        user=user,
        chunk_bytes=chunk_bytes,
    )
    return read(collection)


def measure(
    scorer: Scorer,
    edge_label_index: Tensor,
    *,
    exclude_edge_index: Tensor | None,
    k: SupportsIndex | Sequence[SupportsIndex],
    metrics: Sequence[str],
    user: Tensor | None,
    chunk_bytes: int,
) -> LinkPredMetricCollection:
    """The metrics of :func:`evaluate` as sums over users, to be added up where users
    are ranked apart.
    """
    ks = [as_int(length) for length in (k if isinstance(k, Iterable) else [k])]
    if not ks or min(ks) < 1:
        raise ValueError(f"Expected 'k' >= 1 (got {k}); name a length of the ranking")
    if not metrics or not METRICS.keys() >= set(metrics):
        raise ValueError(
            f"Expected 'metrics' among {list(METRICS)} (got {metrics}); pass a list of "
            "them"
        )

    # A pair as one sorted number, its user times the number of items plus its item:
    num_users, num_items = scorer.num_users, scorer.num_items
    label = _to_key(scorer, edge_label_index, "edge_label_index")
    if user is not None:
        label = label[torch.isin(label // num_items, user.to(label.device))]
    exclude = None
    if exclude_edge_index is not None:
        key = _to_key(scorer, exclude_edge_index, "exclude_edge_index")
        exclude = (index2ptr(key // num_items, num_users), key % num_items)
        if torch.isin(label, key, assume_unique=True).any():
            raise ValueError(
                "Expected 'edge_label_index' and 'exclude_edge_index' to be disjoint "
                "(got pairs in both); drop them from one"
            )

    collection = LinkPredMetricCollection(
        {
            f"{name}@{k}": METRICS[name](k)
            if name != "coverage"
            # The last item is the padding of short rankings:
            else LinkPredCoverage(k, num_dst_nodes=num_items + 1)
            for k in ks
            for name in metrics
        }
    ).to(label.device)
    for metric in collection.values():  # Sum over users in double precision.
        if not isinstance(metric, LinkPredCoverage):
            metric.accum = metric.accum.double()

    users, row = torch.unique_consecutive(label // num_items, return_inverse=True)
    rowptr = index2ptr(row, users.numel()).tolist()
    step = max(chunk_bytes // (64 * max(ks)), 1)
    for start in range(0, users.numel(), step):
        chunk = users[start : start + step]
        _, item = top_k(
            scorer, max(ks), user=chunk, exclude=exclude, chunk_bytes=chunk_bytes
        )
        item.masked_fill_(item < 0, num_items)
        pairs = slice(rowptr[start], rowptr[start + chunk.numel()])
        collection.update(item, (row[pairs] - start, label[pairs] % num_items))

    return collection


def read(collection: LinkPredMetricCollection) -> dict[str, float]:
    """The values of the metrics of :func:`measure`."""
    # Metrics are read without `compute()`, which waits for other processes:
    out = {}
    for name, metric in collection.items():
        if isinstance(metric, LinkPredCoverage):
            mask = metric.mask[:-1]
            value, found = mask.double().mean(), mask.any()
        else:
            value, found = metric.accum / metric.total, metric.total > 0
        if not bool(found):
            raise ValueError(
                "Expected a held-out pair of the users to evaluate in "
                "'edge_label_index' (got none); pass the pairs of the part to evaluate "
                "on"
            )
        out[name] = float(value)
    return out


def _to_key(scorer: Scorer, edge_index: Tensor, name: str) -> Tensor:
    user, item = scorer.split_pairs(edge_index, name)
    return torch.unique(user * scorer.num_items + item)
