from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.scorers import Scorer
from ltgnn_pyg.scorers.filters.rows import rows_of, take, write_columns

WIDTH = 64  #: Users whose columns fit a processor's cache; measured.


class Filter(Scorer):
    r"""A recommender without training: it turns the row of a user's interactions into
    scores of all items

    .. math::
        \mathbf{s}_u = f(\mathbf{r}_u), \qquad \mathbf{r}_u \in \{0, 1\}^I

    and is ready once it is constructed. Users who were not there are scored by
    :meth:`filter_rows`, from what they have taken since.

    .. code-block:: python

        known = split.train
        scorer = GFCF(known)
        evaluate(scorer, split.val.edge_label_index,
                 exclude_edge_index=known.edge_label_index)
        scores, items = top_k(scorer, k=20)

    Args:
        interactions (Interactions): What is known; a pair counts once.

    *Cost:* O(E log E) time and O(E) memory, and that of the method.
    """

    def __init__(self, interactions: Interactions) -> None:
        self.rows = rows_of(interactions)

    @property
    def num_users(self) -> int:
        """The number of users :math:`U`."""
        return self.rows.size(0)

    @property
    def num_items(self) -> int:
        """The number of items :math:`I`."""
        return self.rows.size(1)

    @property
    def device(self) -> torch.device:
        """Where the interactions are."""
        return self.rows.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the scores."""
        return self.rows.dtype

    @torch.no_grad()
    def score(self, user: Tensor, out: Tensor | None = None) -> Tensor:
        """Scores all items for some users by what they have taken, see
        :meth:`Scorer.score <ltgnn_pyg.scorers.Scorer.score>`.
        """
        return self._filter(take(self.rows, user), self._room(user.numel(), out))

    @torch.no_grad()
    def filter_rows(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """Scores all items for any histories, of users that need not be known.

        Args:
            rows (torch.Tensor): A row a user, 1 for each item taken and 0 for others:
                dense or sparse CSR :obj:`[B, num_items]`.
            out (torch.Tensor, optional): Where to write the scores. If :obj:`None`, a
                new tensor. (default: :obj:`None`)

        Returns:
            The scores :obj:`[B, num_items]`.

        Raises:
            ValueError: If sizes do not fit.
        """
        if rows.dim() != 2 or rows.size(1) != self.num_items:
            raise ValueError(
                f"Expected 'rows' [B, {self.num_items}] (got {list(rows.size())}); "
                "pass a column for each item"
            )
        rows = rows.to(self.dtype)
        if rows.layout != torch.sparse_csr:
            rows = rows.to_sparse_csr()
        return self._filter(rows, self._room(rows.size(0), out))

    @abstractmethod
    def _filter(self, rows: Tensor, out: Tensor) -> Tensor:
        """Writes the scores for sparse CSR rows, and returns them."""

    def _room(self, num_rows: int, out: Tensor | None) -> Tensor:
        if out is None:
            out = self.rows.values().new_empty(num_rows, self.num_items)
        return out


def by_columns(
    function: Callable[[Tensor], Tensor], rows: Tensor, out: Tensor
) -> Tensor:
    """Applies a map of dense columns :obj:`[I, b]` to sparse rows, a few at a time,
    and writes what it returns as rows.

    *Cost:* That of the map, and some tables :obj:`[I, 64]`.
    """
    x = out.new_empty(rows.size(1), min(WIDTH, rows.size(0)))
    for start in range(0, rows.size(0), WIDTH):
        part = out[start : start + WIDTH]
        if part.size(0) < x.size(1):
            x = x.new_empty(x.size(0), part.size(0))
        write_columns(rows, start, x)
        part.copy_(function(x).t())
    return out
