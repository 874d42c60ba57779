from functools import partial

import torch
from torch import Tensor

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.graph import CSROperator, propagate
from ltgnn_pyg.scorers.filters.filter import WIDTH, Filter, by_columns
from ltgnn_pyg.scorers.filters.item_cosine import ItemCosine
from ltgnn_pyg.scorers.rows import rows_of_lists

SHRINKAGE = 10.0  #: Of the cosines that neighbours are chosen by.
TOLERANCE = 1e-3  #: The residual of a regression, of that at its start.
MAX_STEPS = 50


class SparseEASE(Filter):
    r""":class:`~ltgnn_pyg.scorers.filters.EASE` with :math:`k` weights an item in place
    of
    :math:`I`: each item is regressed on the items nearest to it

    .. math::
        s_{ui} = \sum_{j \in \mathcal{N}_k(i)} r_{uj} w_{ij}, \qquad
        (R_{\mathcal{N}}^{\top} R_{\mathcal{N}} + \lambda I) \, \mathbf{w}_i =
        R_{\mathcal{N}}^{\top} R_i

    where :math:`R_{\mathcal{N}}` are the columns of the neighbours
    :math:`\mathcal{N}_k(i)`, those of :class:`~ltgnn_pyg.scorers.filters.ItemKNN`. With
    all items for neighbours it is EASE, whose column :math:`B_i` is that regression on
    all others. The supports are chosen as by `"SLIM: Sparse Linear Methods for Top-N
    Recommender Systems" <https://doi.org/10.1109/ICDM.2011.134>`_; `"Scalable
    Approximate NonSymmetric Autoencoder for Collaborative Filtering"
    <https://doi.org/10.1145/3604915.3608827>`_ inverts sparsely as well, by an
    incomplete factorisation. Solved by conjugate gradients, many items at a time.

    Args:
        interactions (Interactions): The interactions; a pair counts once.
        k (int, optional): The number of neighbours :math:`k`. (default: :obj:`200`)
        l2 (float, optional): The weight of the :math:`L_2` term :math:`\lambda`.
            (default: :obj:`100.0`)
        chunk_bytes (int, optional): The memory that the cosines of some items with all
            others may take. (default: :obj:`2**28`)

    Raises:
        ValueError: If :obj:`k`, :obj:`l2` or :obj:`chunk_bytes` is not positive.

    *Cost:* O(I E) time for each of some twenty steps, once, and I k numbers; O(I k) a
    user scored.
    """

    def __init__(
        self,
        interactions: Interactions,
        *,
        k: int = 200,
        l2: float = 100.0,
        chunk_bytes: int = 2**28,
    ) -> None:
        super().__init__(interactions)
        if not l2 > 0.0:
            raise ValueError(f"Expected a positive 'l2' (got {l2}); raise it")
        self.l2 = l2
        self.columns = self.rows.adjoint
        self.degree = self.columns.rowptr.diff().to(self.dtype)
        w, item = ItemCosine(self.rows, SHRINKAGE).nearest(k, chunk_bytes)
        everyone = torch.arange(self.num_items, device=self.device)
        for index in everyone.split(WIDTH):
            w[index] = self._regress(index, item[index].t()).t()
        #: The weights of each item, sparse CSR.
        self.weight = rows_of_lists(item, w, self.num_items)

    def _filter(self, rows: CSROperator, out: Tensor) -> Tensor:
        return by_columns(partial(propagate, self.weight), rows, out)

    def _regress(self, index: Tensor, support: Tensor) -> Tensor:
        """The weights of some items :obj:`[b]` on their neighbours :obj:`[k, b]`."""
        kept = support >= 0
        support = support.clamp(min=0)
        scale = self.degree[support] + self.l2  # The diagonal: Jacobi's scaling.
        table = scale.new_zeros(self.num_items, index.numel())

        def gram() -> Tensor:
            found = propagate(self.columns, propagate(self.rows, table))
            return found.gather(0, support) * kept

        table.scatter_(0, index.view(1, -1), 1.0)
        rest = gram()
        table.scatter_(0, index.view(1, -1), 0.0)
        w, p = torch.zeros_like(rest), rest / scale
        energy = (rest * p).sum(0)
        floor = energy.clamp(min=1e-30) * TOLERANCE**2
        for _ in range(MAX_STEPS):
            table.scatter_add_(0, support, p)
            q = gram() + self.l2 * p
            table.scatter_(0, support, 0.0)
            step = energy / (p * q).sum(0).clamp(min=1e-30)
            w += step * p
            rest -= step * q
            last, energy = energy, (rest.square() / scale).sum(0)
            if bool((energy <= floor).all()):
                break
            p = rest / scale + (energy / last.clamp(min=1e-30)) * p
        return w
