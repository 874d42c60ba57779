from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from ltgnn_pyg.graph.csr_operator import CSROperator
from ltgnn_pyg.scorers.query import Query, Rows
from ltgnn_pyg.scorers.rows import check_items
from ltgnn_pyg.scorers.scorer import Scorer
from ltgnn_pyg.scorers.vectors import Vectors


class FoldIn(Scorer):
    r"""Vectors that score everybody: known users by their vectors and the items that
    they have taken since, new users by their items alone. That is a row of the
    propagation, and no training.

    For a user whose vector was made of the items :math:`\mathcal{N}_u`, :math:`d_u` of
    them, and who has taken :math:`m` others since, :math:`\mathcal{M}`,

    .. math::
        \mathbf{z}_u^{\prime} = \sqrt{\frac{d_u}{d_u + m}} \, \mathbf{z}_u
        + \frac{1 - \alpha}{\sqrt{d_u + m}} \sum_{i \in \mathcal{M}}
        \frac{\mathbf{z}_i}{\sqrt{d_i + 1}}

    is the row of :math:`(1 - \alpha) \hat{A} Z + \alpha X`, the fixed point of
    `"Predict then Propagate" <https://arxiv.org/abs/1810.05997>`_, over the graph with
    the new edges; the other rows of :math:`Z` are held fixed and :math:`\mathbf{x}_u`
    is scaled as :math:`\mathbf{z}_u`. A new user has the second term alone. Each edge
    counts as one: weights, and edges of other types, are no part of :math:`d_u`.

    Rows of objectives that score by cosine have the length 1; the one they had before
    is not known. There :math:`\mathbf{z}_u` is given the length of its own row
    over :math:`\mathcal{N}_u`, :math:`\| \frac{1 - \alpha}{\sqrt{d_u}} \sum_{i \in
    \mathcal{N}_u} \mathbf{z}_i / \sqrt{d_i} \|`, and :math:`\mathbf{z}_u^{\prime}` the
    length 1.

    .. code-block:: python

        scorer = model.scorer(graph)
        scores = scorer.score(Query.of_items([[5, 8]]))  # Who has taken items 5 and 8.

    Args:
        vectors (Vectors): The vectors of users and items.
        item_degree (torch.Tensor): The number of times that each item was taken,
            :math:`d_i`.
        alpha (float, optional): :math:`\alpha` of the model, 0 for one without; at 1
            nothing is propagated, and what was taken since has no say.
            (default: :obj:`0.0`)
        seen (CSROperator, optional): The items that users had taken when the vectors
            were made, users by items; needed for known users who took more since.
            (default: :obj:`None`)

    Shapes:
        :obj:`item_degree` :math:`(I)`

    Raises:
        ValueError: If there is no degree for each item, or :obj:`alpha` is not in
            :math:`[0, 1]`.

    *Cost:* O((U + I) D) once, to see if rows have the length 1.
    """

    def __init__(
        self,
        vectors: Vectors,
        item_degree: Tensor,
        alpha: float = 0.0,
        seen: CSROperator | None = None,
    ) -> None:
        if list(item_degree.size()) != [vectors.num_items]:
            raise ValueError(
                f"Expected 'item_degree' [{vectors.num_items}], a number for each item "
                f"(got {list(item_degree.size())}); count them with torch.bincount"
            )
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"Expected 'alpha' in [0, 1] (got {alpha})")
        self.vectors, self.alpha, self.seen = vectors, alpha, seen
        self.item_degree = item_degree.to(vectors.device, vectors.dtype)

    @cached_property
    def is_unit(self) -> bool:
        """True if all vectors have the length 1, or 0."""
        return _is_unit(self.vectors.user) and _is_unit(self.vectors.item)

    @property
    def num_users(self) -> int:
        """The number of users :math:`U`."""
        return self.vectors.num_users

    @property
    def num_items(self) -> int:
        """The number of items :math:`I`."""
        return self.vectors.num_items

    @property
    def device(self) -> torch.device:
        """The device of the vectors."""
        return self.vectors.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the scores, :obj:`float32` at least."""
        return self.vectors.dtype

    @property
    def as_vectors(self) -> Vectors:
        """The vectors, which score known users."""
        return self.vectors

    @torch.no_grad()
    def score(self, query: Query, out: Tensor | None = None) -> Tensor:
        """Scores all items for some queries, see
        :meth:`Scorer.score <ltgnn_pyg.scorers.Scorer.score>`.

        Raises:
            ValueError: If an item is out of range, or users have taken items since and
                :obj:`seen` is not known.

        *Cost:* O(B I D).
        """
        return self.vectors.score_rows(self.vectors_of(query), out)

    @torch.no_grad()
    def vectors_of(self, query: Query) -> Tensor:
        """The vectors of users, folded in where they have taken items since.

        Raises:
            ValueError: If an item is out of range, or users have taken items since and
                nothing says what they had.
        """
        if query.items is None:
            return self.vectors.vectors_of(query)
        check_items(query.items, self.num_items)
        seen = None
        if query.user is not None:
            if self.seen is None:
                raise ValueError(
                    "Expected to know what users had taken (got nothing), to add what "
                    "they have taken since; pass 'seen', such as 'graph.rows'"
                )
            known = self.seen.take(query.user)
            seen = known.rowptr, known.col
        return self.rows(query.items, query.user, seen)

    def rows(
        self, items: Rows, user: Tensor | None = None, seen: Rows | None = None
    ) -> Tensor:
        r"""Returns the vectors :math:`\mathbf{z}_u^{\prime}` of some users.

        Args:
            items (tuple): The items that each has taken since, :obj:`(rowptr, col)`,
                without those in :obj:`seen`.
            user (torch.Tensor, optional): The users. If :obj:`None`, new ones.
                (default: :obj:`None`)
            seen (tuple, optional): The items that their vectors were made of, likewise.
                A user with none counts as new. (default: :obj:`None`)

        Shapes:
            - **input:** :obj:`user` :math:`(Q)`, :obj:`rowptr` :math:`(Q + 1)`,
              :obj:`col` :math:`(M)`
            - **output:** :math:`(Q, D)`; zeros for who has no items at all

        Raises:
            ValueError: If only one of :obj:`user` and :obj:`seen` is given, or they are
                not of as many users as :obj:`items`.

        *Cost:* O(D) an item.
        """
        num = items[0].numel() - 1
        given = [user is not None, seen is not None]
        if user is None or seen is None:
            if any(given):
                raise ValueError(
                    "Expected 'user' and 'seen' together (got one); pass both, or none "
                    "for new users"
                )
            return self._finish(self._propagate(items, 1.0, 0.0))
        if user.numel() != num or seen[0].numel() != num + 1:
            raise ValueError(
                f"Expected as many users in 'user' and 'seen' as in 'items', {num} "
                f"(got {user.numel()} and {seen[0].numel() - 1}); pass a row for each"
            )
        degree = seen[0].diff().to(self.item_degree)
        kept = (degree / (degree + items[0].diff()).clamp(min=1.0)).sqrt()
        old = self.vectors.user[user].to(self.item_degree)
        if self.is_unit:
            kept = kept * self._propagate(seen, 0.0, 0.0).norm(dim=1)
        new = self._propagate(items, 1.0, degree)
        return self._finish(kept.unsqueeze(1) * old + new)

    def _propagate(self, items: Rows, more: float, degree: Tensor | float) -> Tensor:
        """The sum of the items of each user, normalised by degrees: of items that have
        so many edges more, and of users who have so many beside.
        """
        rowptr, col = items
        total = embedding_bag(
            col,
            self.vectors.item.to(self.item_degree),
            rowptr,
            mode="sum",
            per_sample_weights=(self.item_degree[col] + more).clamp(min=1.0).rsqrt(),
            include_last_offset=True,
        )
        count = (rowptr.diff() + degree).to(self.item_degree).clamp(min=1.0)
        return (1.0 - self.alpha) * count.rsqrt().unsqueeze(1) * total

    def _finish(self, row: Tensor) -> Tensor:
        return normalize(row, dim=1) if self.is_unit else row


def _is_unit(rows: Tensor) -> bool:
    """True if rows have the length 1, or 0 where there is nothing to scale."""
    norm = rows.to(torch.promote_types(rows.dtype, torch.float32)).norm(dim=1)
    return bool((((norm - 1.0).abs() < 1e-2) | (norm == 0.0)).all())
