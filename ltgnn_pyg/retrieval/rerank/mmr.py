from typing import SupportsIndex

import torch
from torch import Tensor

from ltgnn_pyg.retrieval.rerank.candidates import Candidates
from ltgnn_pyg.retrieval.rerank.greedy import (
    Add,
    check_lam,
    check_rows,
    greedy,
    row_of,
    unit_rows,
)


@torch.no_grad()
def mmr(
    candidates: Candidates,
    item_vector: Tensor,
    *,
    k: SupportsIndex,
    lam: float,
) -> Candidates:
    r"""Diverse lists by maximal marginal relevance, of `"The Use of MMR,
    Diversity-Based Reranking for Reordering Documents and Producing Summaries"
    <https://doi.org/10.1145/290941.291025>`_ (Carbonell and Goldstein, SIGIR 1998):
    next comes

    .. math::
        \underset{i \notin S}{\mathrm{arg\,max}} \; \lambda \, \tilde{s}_i -
        (1 - \lambda) \max_{j \in S} \cos(\mathbf{z}_i, \mathbf{z}_j)

    where :math:`S` are the items chosen before, and :math:`\tilde{s}` the scores of the
    list scaled to :math:`[0, 1]`. The first item is the one with the largest score.

    Args:
        candidates (Candidates): The candidates, some hundreds for a list of twenty.
        item_vector (torch.Tensor): The rows :math:`\mathbf{z}_i` by which items are
            alike: their vectors, or a column for each category.
        k (int): The length of the lists.
        lam (float): The weight of the score :math:`\lambda`. At 1 the order stays; at
            0 only the first item is chosen by its score.

    Returns:
        The lists :obj:`[Q, k]` in the order of choice, with the scores they came with.

    Shapes:
        :obj:`item_vector` :math:`(I, D)`

    Raises:
        ValueError: If shapes, types or ranges of the arguments do not fit.

    *Cost:* :math:`O(k Q N D)`: the maximum is carried on, one product a choice.
    """
    check_rows("item_vector", item_vector)
    check_lam(lam)
    candidates.check(item_vector.size(0))

    def start(part: Candidates) -> tuple[Tensor, Add]:
        relevance, row = part.relevance(), unit_rows(item_vector, part)
        nearest = torch.full_like(relevance, -torch.inf)

        def add(pick: Tensor) -> Tensor:
            cosine = row_of(row, pick) @ row.mT
            torch.maximum(nearest, cosine.squeeze(1), out=nearest)
            return lam * relevance - (1.0 - lam) * nearest

        return relevance, add

    return greedy(candidates, k, start, item_vector.size(1))
