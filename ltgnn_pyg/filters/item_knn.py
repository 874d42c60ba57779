from functools import partial

import torch
from torch import Tensor

from ltgnn_pyg.adjacency import adjoint, csr, propagate
from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.filters.filter import WIDTH, Filter, by_columns
from ltgnn_pyg.filters.rows import take
from ltgnn_pyg.retrieval import Scorer, top_k


class ItemKNN(Filter):
    r"""Neighbours of items, from `"Item-based Top-N Recommendation Algorithms"
    <https://doi.org/10.1145/963770.963776>`_: an item is scored by how near it is to
    what the user has taken

    .. math::
        s_{ui} = \sum_{j \in \mathcal{N}_k(i)} r_{uj} w_{ij}, \qquad
        w_{ij} = \frac{c_{ij}}{\sqrt{d_i d_j} + h}

    where :math:`c_{ij}` users took both, :math:`d_i` took :math:`i`, and
    :math:`\mathcal{N}_k(i)` are the :math:`k` items nearest to it: shrunk cosines, in
    the form of `"Are We Really Making Much Progress?"
    <https://arxiv.org/abs/1907.06902>`_.

    Args:
        interactions (Interactions): What is known; a pair counts once.
        k (int, optional): The number of neighbours :math:`k`. (default: :obj:`200`)
        shrinkage (float, optional): What is added to each norm :math:`h`, against
            cosines of rare items. (default: :obj:`10.0`)
        chunk_bytes (int, optional): The memory that the cosines of some items with all
            others may take. (default: :obj:`2**28`)

    Raises:
        ValueError: If :obj:`k` or :obj:`chunk_bytes` is not positive, or
            :obj:`shrinkage` is negative.

    *Cost:* O(I E) time once, I k numbers; O(I k) a user scored. The cosines of all
    pairs of items are never held.
    """

    def __init__(
        self,
        interactions: Interactions,
        *,
        k: int = 200,
        shrinkage: float = 10.0,
        chunk_bytes: int = 2**28,
    ) -> None:
        super().__init__(interactions)
        if shrinkage < 0.0:
            raise ValueError(
                f"Expected 'shrinkage' of at least 0 (got {shrinkage}); it is added to "
                "norms"
            )
        self.k, self.shrinkage = k, shrinkage
        ptr = torch.arange(self.num_items + 1, device=self.device)
        itself = (ptr, ptr[:-1])  # Row i holds i.
        cosine = _Cosine(self.rows, shrinkage)
        w, item = top_k(cosine, k, exclude=itself, chunk_bytes=chunk_bytes)
        near = w > 0.0
        ptr = torch.cat([ptr[:1], near.sum(1).cumsum(0)]).to(self.rows.crow_indices())
        #: The neighbours of each item, sparse CSR.
        self.weight = csr(ptr, item[near].to(ptr.dtype), w[near], self.num_items)

    def _filter(self, rows: Tensor, out: Tensor) -> Tensor:
        return by_columns(partial(propagate, self.weight), rows, out)


class _Cosine(Scorer):
    """The cosine of each item with all others, which are never held at once."""

    def __init__(self, rows: Tensor, shrinkage: float) -> None:
        self.rows, self.shrinkage = rows, shrinkage
        self.columns = adjoint(rows)
        self.norm = self.columns.crow_indices().diff().to(rows.dtype).sqrt()

    @property
    def num_users(self) -> int:
        return self.num_items

    @property
    def num_items(self) -> int:
        return self.rows.size(1)

    @property
    def device(self) -> torch.device:
        return self.rows.device

    @property
    def dtype(self) -> torch.dtype:
        return self.rows.dtype

    def score(self, user: Tensor, out: Tensor | None = None) -> Tensor:
        if out is None:
            out = self.norm.new_empty(user.numel(), self.num_items)
        taken = take(self.columns, user)
        by_columns(partial(propagate, self.columns), taken, out)
        for part, norm in zip(
            out.split(WIDTH), self.norm[user].split(WIDTH), strict=True
        ):
            part /= (norm.view(-1, 1) * self.norm + self.shrinkage).clamp_(min=1e-6)
        return out
