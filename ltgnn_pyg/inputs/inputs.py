from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn import Module


class Inputs(Module, ABC):
    r"""The inputs :math:`X` of a model, a row a node: what is propagated.

    .. math::
        \mathbf{x}_i = m_i \, \mathbf{e}_i + f(\mathbf{c}_i)

    a row of a table where there is one (:class:`Embeddings`), plus an encoder of what
    is known of the node (:class:`Features`), or both (:class:`SumInputs`).

    Args:
        num_nodes (int): The number of nodes.
        embedding_dim (int): The size of a row.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(self, num_nodes: int, embedding_dim: int) -> None:
        super().__init__()
        if num_nodes < 1 or embedding_dim < 1:
            raise ValueError(
                f"Expected positive 'num_nodes' and 'embedding_dim' (got {num_nodes} "
                f"and {embedding_dim})"
            )
        self.num_nodes = num_nodes
        self.embedding_dim = embedding_dim

    @abstractmethod
    def rows(self, n_id: Tensor) -> Tensor:
        """Returns the rows of some nodes, with gradient.

        Args:
            n_id (torch.Tensor): Their numbers :obj:`[num_rows]`.

        Returns:
            :obj:`[num_rows, embedding_dim]`.

        *Cost:* That of these rows.
        """

    @abstractmethod
    def table(self) -> Tensor:
        """Returns the rows of all nodes :obj:`[num_nodes, embedding_dim]`, with
        gradient.
        """

    @abstractmethod
    def fill(self, table: Tensor) -> None:
        """Takes what is trained of the rows from a table of all nodes, as far as there
        is a row for each.

        Args:
            table (torch.Tensor): The rows :obj:`[num_nodes, embedding_dim]`.
        """

    @abstractmethod
    def append(self, num_nodes: int) -> None:
        """Adds nodes behind the last; the rows of all others stay as they are.

        Args:
            num_nodes (int): The number of new nodes.
        """

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draws what is trained anew."""
