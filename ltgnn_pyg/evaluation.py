from collections.abc import Sequence

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

from ltgnn_pyg.retrieval import top_k

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
    embedding: Tensor,
    edge_label_index: Tensor,
    *,
    num_users: int,
    exclude_edge_index: Tensor | None = None,
    k: int | Sequence[int] = 20,
    metrics: Sequence[str] = ("recall", "ndcg"),
    user: Tensor | None = None,
    chunk_bytes: int = 2**28,
) -> dict[str, float]:
    r"""Ranks all items for every user by the inner product

    .. math::
        s_{ui} = \mathbf{z}_u^{\top} \mathbf{z}_i

    and measures where the held-out items land, with the metrics of
    :mod:`torch_geometric.metrics` averaged over users.

    Nodes are numbered users first: users :math:`0, \ldots, U - 1`, items
    :math:`U, \ldots, N - 1`. Users without a held-out item are neither scored nor
    counted. Repeated pairs count once.

    .. code-block:: python

        z = model.get_embedding(data.edge_index)
        evaluate(z, split.test, num_users=data.num_users,
                 exclude_edge_index=split.train, k=[10, 20])
        >>> {'recall@10': ..., 'ndcg@10': ..., 'recall@20': ..., 'ndcg@20': ...}

    Args:
        embedding (torch.Tensor): The embeddings of all nodes.
        edge_label_index (torch.Tensor): The held-out pairs of user (first row) and
            item.
        num_users (int): The number of users :math:`U`.
        exclude_edge_index (torch.Tensor, optional): The pairs of user (first row)
            and item that are never ranked, *e.g.*, the training interactions.
            (default: :obj:`None`)
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
        - **input:** :obj:`embedding` :math:`(N, D)`, :obj:`edge_label_index`
          :math:`(2, L)`, :obj:`exclude_edge_index` :math:`(2, E)`, :obj:`user`
          :math:`(Q)`
        - **output:** a value for each :obj:`"{metric}@{k}"`

    Raises:
        ValueError: If shapes, types or ranges of the arguments do not fit, if
            :obj:`embedding` is not finite, if there is nothing to evaluate, or if
            a held-out pair is excluded (so that nobody could rank it).

    *Cost:* :math:`O(U I D)` time for :math:`I = N - U` items,
    :math:`O((L + E) \log (L + E))` for the pairs, and memory linear in both beyond
    a chunk.
    """
    ks = [k] if isinstance(k, int) else list(k)
    num_items = embedding.size(0) - num_users
    if embedding.dim() != 2 or num_users < 1 or num_items < 1:
        raise ValueError(
            f"Expected 'embedding' [N, D] of {num_users} users and at least one item, "
            f"got {list(embedding.size())}"
        )
    if not embedding.isfinite().all():
        raise ValueError("Expected finite 'embedding', got NaN or inf")
    if not ks or min(ks) < 1 or not metrics or not METRICS.keys() >= set(metrics):
        raise ValueError(
            f"Expected 'k' >= 1 and 'metrics' among {list(METRICS)}, got {k} and "
            f"{metrics}"
        )

    # A pair as one sorted number, its user times the number of items plus its item:
    label = _to_key("edge_label_index", edge_label_index, embedding, num_users)
    if user is not None:
        label = label[torch.isin(label // num_items, user.to(label.device))]
    if label.numel() == 0:
        raise ValueError(
            "Expected a held-out pair of the users to evaluate in 'edge_label_index', "
            "got none"
        )
    exclude = None
    if exclude_edge_index is not None:
        key = _to_key("exclude_edge_index", exclude_edge_index, embedding, num_users)
        exclude = (index2ptr(key // num_items, num_users), key % num_items)
        if torch.isin(label, key, assume_unique=True).any():
            raise ValueError(
                "Expected 'edge_label_index' and 'exclude_edge_index' to be disjoint, "
                "got pairs in both: drop them from one"
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
    ).to(embedding.device)
    for metric in collection.values():  # Sum over users in double precision.
        if not isinstance(metric, LinkPredCoverage):
            metric.accum = metric.accum.double()

    src_index, row = torch.unique_consecutive(label // num_items, return_inverse=True)
    rowptr = index2ptr(row, src_index.numel()).tolist()
    step = max(chunk_bytes // (64 * max(ks)), 1)
    for start in range(0, src_index.numel(), step):
        chunk = src_index[start : start + step]
        _, index = top_k(
            embedding[:num_users],
            embedding[num_users:],
            max(ks),
            src_index=chunk,
            exclude=exclude,
            chunk_bytes=chunk_bytes,
        )
        index.masked_fill_(index < 0, num_items)
        pairs = slice(rowptr[start], rowptr[start + chunk.numel()])
        collection.update(index, (row[pairs] - start, label[pairs] % num_items))

    # Metrics are read without `compute()`, which waits for other processes:
    return {
        name: float(
            metric.mask[:-1].double().mean()
            if isinstance(metric, LinkPredCoverage)
            else metric.accum / metric.total
        )
        for name, metric in collection.items()
    }


def _to_key(name: str, edge_index: Tensor, embedding: Tensor, num_users: int) -> Tensor:
    num_nodes = embedding.size(0)
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(f"Expected '{name}' [2, E], got {list(edge_index.size())}")
    if edge_index.dtype != torch.long:
        raise ValueError(f"Expected '{name}' of type int64, got {edge_index.dtype}")
    user, item = edge_index.to(embedding.device)
    if ((user < 0) | (user >= num_users)).any():
        raise ValueError(
            f"Expected users in [0, {num_users}) in the first row of '{name}', got "
            f"others: of a graph with both directions, pass one"
        )
    if ((item < num_users) | (item >= num_nodes)).any():
        raise ValueError(
            f"Expected items in [{num_users}, {num_nodes}) in the second row of "
            f"'{name}', got others: item ids start at 'num_users'"
        )
    return torch.unique(user * (num_nodes - num_users) + item - num_users)
