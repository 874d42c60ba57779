from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph import CSROperator
from ltgnn_pyg.scorers.query import Query
from ltgnn_pyg.scorers.rows import (
    add_rows,
    check_items,
    rows_of,
    rows_of_query,
    write_columns,
)
from ltgnn_pyg.scorers.scorer import Scorer

WIDTH = 64  #: Users whose columns fit a processor's cache; measured.


class Filter(Scorer):
    r"""A recommender without training: it turns the row of a user's interactions into
    scores of all items

    .. math::
        \mathbf{s}_u = f(\mathbf{r}_u), \qquad \mathbf{r}_u \in \{0, 1\}^I

    and is ready once it is constructed. Users who were not there are scored by what
    they have taken, and known ones by what they have taken since, too.

    .. code-block:: python

        known = split.train
        scorer = GFCF(known)
        evaluate(scorer, split.val, exclude=known)
        scores, items = top_k(scorer, k=20)

    Args:
        interactions (Interactions): The interactions; a pair counts once.

    *Cost:* O(E log E) time and O(E) memory, and that of the method.
    """

    def __init__(self, interactions: Interactions) -> None:
        self.rows = rows_of(interactions)

    @property
    def num_users(self) -> int:
        """The number of users :math:`U`."""
        return self.rows.num_rows

    @property
    def num_items(self) -> int:
        """The number of items :math:`I`."""
        return self.rows.num_cols

    @property
    def device(self) -> torch.device:
        """The device of the interactions."""
        return self.rows.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the scores."""
        return self.rows.dtype

    @torch.no_grad()
    def score(self, query: Query, out: Tensor | None = None) -> Tensor:
        """Scores all items for some queries by what they have taken, see
        :meth:`Scorer.score <ltgnn_pyg.scorers.Scorer.score>`.
        """
        if out is None:
            out = self.rows.value.new_empty(len(query), self.num_items)
        return self._filter(self.rows_of(query), out)

    def rows_of(self, query: Query) -> CSROperator:
        """The rows of what has been taken, 1 for each item :obj:`[B, num_items]`.

        Raises:
            ValueError: If an item is out of range.
        """
        if query.items is None:
            assert query.user is not None
            return self.rows.take(query.user)
        check_items(query.items, self.num_items)
        rows = rows_of_query(query.items, self.num_items)
        if query.user is None:
            return rows
        return add_rows(self.rows.take(query.user), rows)

    @abstractmethod
    def _filter(self, rows: CSROperator, out: Tensor) -> Tensor:
        """Writes the scores for sparse CSR rows, and returns them."""


def by_columns(
    function: Callable[[Tensor], Tensor], rows: CSROperator, out: Tensor
) -> Tensor:
    """Applies a map of dense columns :obj:`[I, b]` to sparse rows, a few at a time,
    and writes what it returns as rows.

    *Cost:* That of the map, and some tables :obj:`[I, 64]`.
    """
    x = out.new_empty(rows.num_cols, min(WIDTH, rows.num_rows))
    for start in range(0, rows.num_rows, WIDTH):
        part = out[start : start + WIDTH]
        if part.size(0) < x.size(1):
            x = x.new_empty(x.size(0), part.size(0))
        write_columns(rows, start, x)
        part.copy_(function(x).t())
    return out
