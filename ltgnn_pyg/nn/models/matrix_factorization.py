from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.typing import OptTensor

from ltgnn_pyg.nn.models.recommender import Recommender


class MatrixFactorization(Recommender):
    r"""Matrix factorisation, from `"Matrix Factorization Techniques for Recommender
    Systems" <https://doi.org/10.1109/MC.2009.263>`_: a user and an item score by
    the inner product of their rows of :math:`X`. No graph.

    Args:
        *args (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.
        **kwargs (optional): The same.

    *Cost:* O(batch_size x dim) time a batch.
    """

    def loss(self, batch: Data, x: OptTensor = None) -> Tensor:
        """Returns the training loss of a batch, a scalar."""
        if x is None:
            x = self._table()(batch.n_id[: batch.num_seeds])
        return self._objective(x, x, batch)

    def _embed(self, adj_t: OptTensor, x: Tensor) -> Tensor:
        return x  # The graph has no say.
