import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph import CSROperator
from ltgnn_pyg.scorers.filters.filter import Filter
from ltgnn_pyg.scorers.query import Query
from ltgnn_pyg.scorers.vectors import Vectors


class Popularity(Filter):
    r"""The items taken most often, the same for every user

    .. math::
        s_{ui} = d_i

    with the number :math:`d_i` of users who took :math:`i`.

    Args:
        interactions (Interactions): The interactions; a pair counts once.

    *Cost:* O(E).
    """

    def __init__(self, interactions: Interactions) -> None:
        super().__init__(interactions)
        col = self.rows.col
        self.degree = torch.bincount(col, minlength=self.num_items).to(self.dtype)

    @property
    def as_vectors(self) -> Vectors:
        """The same scores as vectors of one column."""
        user = self.degree.new_ones(self.num_users, 1)
        return Vectors(user, self.degree.view(-1, 1))

    def vectors_of(self, query: Query) -> Tensor:
        """A number for each query, which are all alike."""
        return self.degree.new_ones(len(query), 1)

    def _filter(self, rows: CSROperator, out: Tensor) -> Tensor:
        return out.copy_(self.degree.expand_as(out))
