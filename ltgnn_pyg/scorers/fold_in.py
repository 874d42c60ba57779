import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from ltgnn_pyg.scorers.vectors import Vectors

Rows = tuple[Tensor, Tensor]  #: Items of each user, as CSR.


class FoldIn:
    r"""Vectors of users from what they took after training: a row of the propagation,
    and no training.

    For a user whose vector was made of the items :math:`\mathcal{N}_u`, :math:`d_u` of
    them, and who has taken :math:`m` others, :math:`\mathcal{M}`, since

    .. math::
        \mathbf{z}_u^{\prime} = \sqrt{\frac{d_u}{d_u + m}} \, \mathbf{z}_u
        + \frac{1 - \alpha}{\sqrt{d_u + m}} \sum_{i \in \mathcal{M}}
        \frac{\mathbf{z}_i}{\sqrt{d_i + 1}}

    is the row of :math:`(1 - \alpha) \hat{A} Z + \alpha X`, the fixed point of
    `"Predict then Propagate" <https://arxiv.org/abs/1810.05997>`_, over the graph with
    the new edges; the other rows of :math:`Z` are held fixed and :math:`\mathbf{x}_u`
    is scaled as :math:`\mathbf{z}_u`. A new user has the second term alone.

    Rows of objectives that score by cosine have the length 1: what they had before is
    not known any more. There :math:`\mathbf{z}_u` is given the length of its own row
    over :math:`\mathcal{N}_u`, :math:`\| \frac{1 - \alpha}{\sqrt{d_u}} \sum_{i \in
    \mathcal{N}_u} \mathbf{z}_i / \sqrt{d_i} \|`, and :math:`\mathbf{z}_u^{\prime}` the
    length 1.

    .. code-block:: python

        fold_in = FoldIn(vectors, degree)
        ptr, item = torch.tensor([0, 2]), torch.tensor([5, 8])
        new = fold_in((ptr, item))  # Somebody who has taken items 5 and 8.

    Args:
        vectors (Vectors): What is scored.
        item_degree (torch.Tensor): How often each item was taken, :math:`d_i`.
        alpha (float, optional): :math:`\alpha` of the model, 0 for one without.
            (default: :obj:`0.0`)

    Shapes:
        :obj:`item_degree` :math:`(I)`

    Raises:
        ValueError: If there is no degree for each item, or :obj:`alpha` is not in
            :math:`[0, 1)`.

    *Cost:* O((U + I) D), to see whether rows have the length 1.
    """

    def __init__(
        self, vectors: Vectors, item_degree: Tensor, alpha: float = 0.0
    ) -> None:
        if list(item_degree.size()) != [vectors.num_items]:
            raise ValueError(
                f"Expected 'item_degree' [{vectors.num_items}], a number for each item "
                f"(got {list(item_degree.size())}); count them with torch.bincount"
            )
        if not 0.0 <= alpha < 1.0:
            raise ValueError(
                f"Expected 'alpha' in [0, 1) (got {alpha}); at 1 nothing is propagated"
            )
        self.vectors, self.alpha = vectors, alpha
        self.degree = item_degree.to(vectors.device, vectors.dtype)
        self.is_unit = _is_unit(vectors.user) and _is_unit(vectors.item)

    def __call__(
        self, items: Rows, user: Tensor | None = None, seen: Rows | None = None
    ) -> Tensor:
        r"""Returns the vectors :math:`\mathbf{z}_u^{\prime}` of some users.

        Args:
            items (tuple): What each has taken since, :obj:`(rowptr, col)`, without what
                is in :obj:`seen`.
            user (torch.Tensor, optional): Who they are. If :obj:`None`, new users.
                (default: :obj:`None`)
            seen (tuple, optional): What their vectors were made of, likewise. Who has
                none there counts as new. (default: :obj:`None`)

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
        degree = seen[0].diff().to(self.degree)
        kept = (degree / (degree + items[0].diff()).clamp(min=1.0)).sqrt()
        old = self.vectors.user[user].to(self.degree)
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
            self.vectors.item.to(self.degree),
            rowptr,
            mode="sum",
            per_sample_weights=(self.degree[col] + more).clamp(min=1.0).rsqrt(),
            include_last_offset=True,
        )
        count = (rowptr.diff() + degree).to(self.degree).clamp(min=1.0)
        return (1.0 - self.alpha) * count.rsqrt().unsqueeze(1) * total

    def _finish(self, row: Tensor) -> Tensor:
        return normalize(row, dim=1) if self.is_unit else row


def _is_unit(rows: Tensor) -> bool:
    """Whether rows have the length 1, or 0 where there is nothing to scale."""
    norm = rows.to(torch.promote_types(rows.dtype, torch.float32)).norm(dim=1)
    return bool((((norm - 1.0).abs() < 1e-2) | (norm == 0.0)).all())
