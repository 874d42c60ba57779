from functools import partial

from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph import CSROperator, propagate
from ltgnn_pyg.scorers.filters.filter import Filter, by_columns
from ltgnn_pyg.scorers.filters.item_cosine import ItemCosine
from ltgnn_pyg.scorers.rows import rows_of_lists


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
        interactions (Interactions): The interactions; a pair counts once.
        k (int, optional): The number of neighbours :math:`k`. (default: :obj:`200`)
        shrinkage (float, optional): The number added to each norm :math:`h`, against
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
        if not shrinkage >= 0.0:
            raise ValueError(
                f"Expected 'shrinkage' of at least 0 (got {shrinkage}); it is added to "
                "norms"
            )
        w, item = ItemCosine(self.rows, shrinkage).nearest(k, chunk_bytes)
        #: The neighbours of each item, sparse CSR.
        self.weight = rows_of_lists(item, w, self.num_items)

    def _filter(self, rows: CSROperator, out: Tensor) -> Tensor:
        return by_columns(partial(propagate, self.weight), rows, out)
