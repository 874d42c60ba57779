from typing import SupportsIndex

import torch
from torch import Tensor

from ltgnn_pyg.retrieval.rerank.candidates import Candidates
from ltgnn_pyg.retrieval.rerank.greedy import (
    Add,
    check_rows,
    greedy,
    row_of,
    unit_rows,
)

EPS = 1e-6  #: Of the square of a unit row: what is left below it is rounding.


@torch.no_grad()
def dpp(
    candidates: Candidates,
    item_vector: Tensor,
    *,
    k: SupportsIndex,
    theta: float,
) -> Candidates:
    r"""Diverse lists by a determinantal point process, of `"Fast Greedy MAP Inference
    for Determinantal Point Process to Improve Recommendation Diversity"
    <https://arxiv.org/abs/1709.05135>`_ (Chen, Zhang and Zhou, NeurIPS 2018): next
    comes the item by which the determinant of the chosen ones becomes largest,

    .. math::
        \underset{i \notin S}{\mathrm{arg\,max}} \; \log \det
        \mathbf{L}_{S \cup \{i\}}, \quad
        L_{ij} = q_i \, q_j \cos(\mathbf{z}_i, \mathbf{z}_j), \quad
        q_i = \exp \left( \frac{\theta}{2 (1 - \theta)} \tilde{s}_i \right)

    which is :math:`\mathrm{arg\,max} \; \theta \, \tilde{s}_i + (1 - \theta) \log
    d_i^2`, where :math:`d_i` is the length of what the chosen rows do not span of
    :math:`\mathbf{z}_i / |\mathbf{z}_i|`, and :math:`\tilde{s}` the scores of the list
    scaled to :math:`[0, 1]`. The numbers :math:`e_i` of the paper, by which
    :math:`d_i^2 \leftarrow d_i^2 - e_i^2`, are here the products with the next vector
    :math:`\mathbf{b}` of an orthonormal basis of the chosen rows, so that no row of
    :math:`\mathbf{L}` nor of its factor is kept.

    Where the rows chosen span all that is left (:math:`d_i^2 < 10^{-6}`), as at the
    latest when there are :math:`D` of them, the list is filled up by score.

    Args:
        candidates (Candidates): The candidates, some hundreds for a list of twenty.
        item_vector (torch.Tensor): The rows :math:`\mathbf{z}_i` by which items are
            alike: their vectors, or a column for each category.
        k (int): The length of the lists.
        theta (float): The weight of the score :math:`\theta`, below 1; the closer to
            it, the less diversity counts.

    Returns:
        The lists :obj:`[Q, k]` in the order of choice, with the scores they came with.

    Shapes:
        :obj:`item_vector` :math:`(I, D)`

    Raises:
        ValueError: If shapes, types or ranges of the arguments do not fit.

    *Cost:* :math:`O(k Q N D + k^2 Q D)`, in place of the paper's
    :math:`O(k Q N D + k^2 Q N)`.
    """
    check_rows("item_vector", item_vector)
    if not 0.0 <= theta < 1.0:
        raise ValueError(
            f"Expected 'theta' in [0, 1) (got {theta}); without diversity, the "
            "candidates are the list"
        )
    candidates.check(item_vector.size(0))

    def start(part: Candidates) -> tuple[Tensor, Add]:
        relevance, row = part.relevance(), unit_rows(item_vector, part)
        rest = row.any(-1).logical_and_(part.item >= 0).to(row.dtype)  # 1, the length.
        basis, score = row[:, :0], theta * relevance

        def worth() -> Tensor:
            gain = torch.add(score, rest.log(), alpha=1.0 - theta)
            return torch.where(rest.any(1, keepdim=True), gain, relevance)

        def add(pick: Tensor) -> Tensor:
            nonlocal basis, rest
            b = row_of(row, pick)
            for _ in range(2):  # Once more for what rounding leaves.
                b = b - (b @ basis.mT) @ basis
            length = b.norm(dim=-1, keepdim=True)
            b = torch.where(length.square() > EPS, b / length, 0.0)
            basis = torch.cat([basis, b], dim=1)
            e = (b @ row.mT).squeeze(1)
            rest = torch.threshold(rest - e.square(), EPS, 0.0).scatter_(1, pick, 0.0)
            return worth()

        return worth(), add

    return greedy(candidates, k, start, item_vector.size(1))
