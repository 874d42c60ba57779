from collections.abc import Sequence
from typing import SupportsIndex

import torch
from torch import Tensor

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.evaluation.measure import measure, values_of
from ltgnn_pyg.retrieval.rerank import Candidates
from ltgnn_pyg.scorers import Scorer


@torch.no_grad()
def evaluate(
    scorer: Scorer,
    held_out: Interactions,
    *,
    exclude: Interactions | None = None,
    k: SupportsIndex | Sequence[SupportsIndex] = 20,
    metrics: Sequence[str] = ("recall", "ndcg"),
    user: Tensor | None = None,
    lists: Candidates | None = None,
    item_vector: Tensor | None = None,
    chunk_bytes: int = 2**28,
) -> dict[str, float]:
    r"""Ranks all items for every user by their scores, and measures where the
    held-out items land, with the metrics of :mod:`torch_geometric.metrics` averaged
    over users.

    Users without a held-out item are neither scored nor counted. Repeated pairs
    count once. Pairs that are known when the list is made are left out of it:
    validation ranks all but the training items, the final test all but the items of
    training **and** validation.

    .. code-block:: python

        evaluate(scorer, split.val, exclude=split.train)
        evaluate(report.scorer, split.test, exclude=split.known, k=[10, 20])
        >>> {'recall@10': ..., 'ndcg@10': ..., 'recall@20': ..., 'ndcg@20': ...}

    Other metrics of the same lists are asked for in the same call, also of lists that
    were re-ranked, or made in any other way:

    .. code-block:: python

        evaluate(scorer, split.test, exclude=split.known, lists=rerank(candidates),
                 metrics=["recall", "ild", "gini"], item_vector=vectors.item)

    Args:
        scorer (Scorer): The scorer: :class:`~ltgnn_pyg.scorers.Vectors`, a filter of
            :mod:`ltgnn_pyg.scorers.filters`, or any other.
        held_out (Interactions): The held-out pairs.
        exclude (Interactions, optional): The pairs that are never ranked: training
            interactions, and at test time those of validation too.
            (default: :obj:`None`)
        k (int or Sequence[int], optional): The lengths of the ranking to
            evaluate. (default: :obj:`20`)
        metrics (Sequence[str], optional): The metrics, any of :obj:`"recall"`,
            :obj:`"ndcg"`, :obj:`"precision"`, :obj:`"hit_ratio"`, :obj:`"mrr"`,
            :obj:`"map"`; of the lists alone, :obj:`"coverage"` (the share of all
            items that is recommended to anyone), :obj:`"gini"` and
            :obj:`"personalization"` (see :class:`~ltgnn_pyg.evaluation.metrics.Gini`
            and :class:`~ltgnn_pyg.evaluation.metrics.Personalization`), and
            :obj:`"ild"` (:class:`~ltgnn_pyg.evaluation.metrics.ILD`), which needs
            :obj:`item_vector`; and of lists and what is known, the pairs of
            :obj:`exclude`, :obj:`"average_popularity"` (the mean number of
            users that have taken an item), :obj:`"novelty"` (the mean of
            :math:`-\log_2` of their share among all users, as if one had taken what
            nobody has) and :obj:`"serendipity"`
            (:class:`~ltgnn_pyg.evaluation.metrics.Serendipity`). (default:
            :obj:`("recall", "ndcg")`)
        user (torch.Tensor, optional): The users to evaluate, *e.g.*, a sample. If
            :obj:`None`, evaluates all of them. (default: :obj:`None`)
        lists (Candidates, optional): The lists to evaluate, of :math:`k` items at
            least, of users that come once each; others are not evaluated. If
            :obj:`None`, the :math:`k` items of the largest scores.
            (default: :obj:`None`)
        item_vector (torch.Tensor, optional): The rows by which :obj:`"ild"` tells how
            unlike items are: their vectors, or a column for each category.
            (default: :obj:`None`)
        chunk_bytes (int, optional): The memory the scores of a chunk of users may
            take, see :meth:`~ltgnn_pyg.scorers.top_k`.
            (default: :obj:`2**28`)

    Shapes:
        - **input:** :obj:`user` :math:`(Q)`, :obj:`item_vector` :math:`(I, D)`
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
        held_out,
        exclude=exclude,
        k=k,
        metrics=metrics,
        user=user,
        lists=lists,
        item_vector=item_vector,
        chunk_bytes=chunk_bytes,
    )
    return values_of(collection)
