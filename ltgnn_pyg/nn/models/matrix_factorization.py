from ltgnn_pyg.nn.models.recommender import Recommender


class MatrixFactorization(Recommender):
    r"""Matrix factorisation, from `"Matrix Factorization Techniques for Recommender
    Systems" <https://doi.org/10.1109/MC.2009.263>`_: a user and an item score by
    the inner product of their rows of :math:`X`. No graph.

    The gradient of the table is sparse, of the rows of a batch, so that a row-wise
    optimizer (:class:`~ltgnn_pyg.inputs.row_adam.RowAdam`) touches nothing else. For
    steps of a few pairs at a cost that does not depend on the size of the data, make
    the rounds of the loader small and share its graph: :obj:`PairLoader(data,
    num_rounds=num_pairs // 1024, leave_out=False)`.

    Args:
        *args (optional): See :class:`~ltgnn_pyg.nn.models.Recommender`.
        **kwargs (optional): The same.

    *Cost:* O(num_pairs x dim) time a batch.
    """

    @property
    def coefficients(self) -> list[float]:
        """:math:`Z = X`."""
        return [1.0]
