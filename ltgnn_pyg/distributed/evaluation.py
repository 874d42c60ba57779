from collections.abc import Sequence
from typing import SupportsIndex

import torch
import torch.distributed as dist
from torch import Tensor
from torch_geometric.metrics import LinkPredCoverage

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.distributed.process_group import answered
from ltgnn_pyg.distributed.vectors import ShardedVectors
from ltgnn_pyg.evaluation.measure import OF_POPULARITY, measure, values_of


@torch.no_grad()
def evaluate(
    vectors: ShardedVectors,
    held_out: Interactions,
    *,
    exclude: Interactions | None = None,
    k: SupportsIndex | Sequence[SupportsIndex] = 20,
    metrics: Sequence[str] = ("recall", "ndcg"),
    user: Tensor | None = None,
    item_vector: Tensor | None = None,
    chunk_bytes: int = 2**28,
) -> dict[str, float]:
    r"""Evaluates as :func:`ltgnn_pyg.evaluation.evaluate`, with the same figures: each
    process ranks all items for its own users, and sums are added up.

    All processes must call it, with the same pairs.

    Args:
        vectors (ShardedVectors): The vectors of users and items.
        held_out (Interactions): The held-out pairs of all users.
        exclude (Interactions, optional): The pairs never ranked.
            (default: :obj:`None`)
        k (int or Sequence[int], optional): The lengths of the ranking.
            (default: :obj:`20`)
        metrics (Sequence[str], optional): The metrics.
            (default: :obj:`("recall", "ndcg")`)
        user (torch.Tensor, optional): The users to evaluate. If :obj:`None`, all.
            (default: :obj:`None`)
        item_vector (torch.Tensor, optional): The rows of all items by which
            :obj:`"ild"` tells how unlike they are. (default: :obj:`None`)
        chunk_bytes (int, optional): The memory that scores may take, in all processes
            together. (default: :obj:`2**28`)

    Raises:
        ValueError: As :func:`ltgnn_pyg.evaluation.evaluate`.

    *Cost:* That of one process over P, and all items held in each.
    """
    partition = vectors.partition
    if user is not None:
        first, last = partition.users.start, partition.users.stop
        user = user[(user >= first) & (user < last)] - first
    popularity = None
    if exclude is not None and set(OF_POPULARITY) & set(metrics):
        num = partition.num_items
        item = torch.unique(exclude.user * num + exclude.item) % num
        popularity = torch.bincount(item, minlength=num)
    collection = measure(
        vectors.own(),
        vectors.to_own(held_out),
        exclude=None if exclude is None else vectors.to_own(exclude),
        k=k,
        metrics=metrics,
        user=user,
        item_vector=item_vector,
        popularity=popularity,
        num_users=partition.num_users,
        chunk_bytes=max(chunk_bytes // partition.world_size, 1),
    )
    for metric in collection.values():
        if isinstance(metric, LinkPredCoverage):
            mask = metric.mask.int()
            with answered():
                dist.all_reduce(mask, dist.ReduceOp.MAX)
            metric.mask.copy_(mask)
        else:
            partition.sum_(metric.accum, metric.total)
    return values_of(collection)
