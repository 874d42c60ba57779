import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, Parameter

from ltgnn_pyg.inputs.inputs import Inputs


class Embeddings(Inputs):
    r"""A row of a table for each node, or for those of a range, and zeros for the
    others.

    .. math::
        \mathbf{x}_i = m_i \, \mathbf{e}_i, \qquad m_i \in \{ 0, 1 \}

    Args:
        num_nodes (int): The number of nodes.
        embedding_dim (int, optional): The size of a row. (default: :obj:`64`)
        first (int, optional): The first node with a row. (default: :obj:`0`)
        num_rows (int, optional): The number of nodes with a row. If :obj:`None`, all
            from :obj:`first` on. (default: :obj:`None`)
        std (float, optional): The standard deviation of the initial table.
            (default: :obj:`0.005`)

    Raises:
        ValueError: If an argument is out of its range.

    *Cost:* num_rows x dim numbers. :meth:`table` is the parameter itself where all
    nodes have a row; otherwise O(num_nodes x dim).
    """

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int = 64,
        *,
        first: int = 0,
        num_rows: int | None = None,
        std: float = 0.005,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        num_rows = num_nodes - first if num_rows is None else num_rows
        if not 0 <= first <= first + num_rows <= num_nodes or not std >= 0.0:
            raise ValueError(
                f"Expected rows of some of {num_nodes} nodes, and 'std' of at least 0 "
                f"(got {num_rows} from node {first} on, and {std})"
            )
        self.first = first
        self.num_rows = num_rows
        self.std = std
        self.weight = Embedding(num_rows, embedding_dim).weight
        self.reset_parameters()

    @classmethod
    def from_table(cls, table: Tensor) -> "Embeddings":
        """The inputs whose rows are those of a table, without a copy."""
        out = cls.__new__(cls)
        Inputs.__init__(out, *table.size())
        out.first, out.num_rows, out.std = 0, table.size(0), 0.0
        out.weight = Parameter(table)
        return out

    @property
    def _is_whole(self) -> bool:
        """True if every node has a row."""
        return self.weight.size(0) == self.num_nodes

    def rows(self, n_id: Tensor) -> Tensor:
        """Returns the rows of some nodes, zeros for those without one; the gradient of
        the table is sparse.
        """
        if self._is_whole:
            return F.embedding(n_id, self.weight, sparse=True)
        row = n_id - self.first
        place = ((row >= 0) & (row < self.weight.size(0))).nonzero().view(-1)
        rows = F.embedding(row[place], self.weight, sparse=True)  # No other has a step.
        return rows.new_zeros(row.numel(), rows.size(1)).index_copy(0, place, rows)

    def table(self) -> Tensor:
        """Returns the rows of all nodes, zeros for those without one."""
        if self._is_whole:
            return self.weight
        behind = self.num_nodes - self.first - self.weight.size(0)
        return F.pad(self.weight, (0, 0, self.first, behind))

    @torch.no_grad()
    def fill(self, table: Tensor) -> None:
        """Copies the rows of the nodes that have one."""
        if table is not self.weight:
            self.weight.copy_(table[self.first : self.first + self.weight.size(0)])

    @torch.no_grad()
    def append(self, num_nodes: int) -> None:
        """Adds nodes, with rows of zeros, behind the last, which must have a row.

        The parameter stays the same object, as optimizers hold it; make those anew that
        keep tables beside it.

        Raises:
            ValueError: If the last node has no row.
        """
        if self.first + self.weight.size(0) != self.num_nodes:
            raise ValueError(
                "Expected a row for the last node (got none), behind which new nodes "
                "come; give each new node a number first"
            )
        new = self.weight.new_zeros(num_nodes, self.embedding_dim)
        table, self.weight.grad = torch.cat([self.weight, new]), None
        # By way of another type: torch then forgets what gathers the gradient, which a
        # loss of before that is still there would keep at the old size.
        other = torch.float32 if table.dtype != torch.float32 else torch.float64
        self.weight.data = table.new_empty(0, dtype=other)
        self.weight.data = table
        self.num_nodes += num_nodes
        self.num_rows += num_nodes

    def reset_parameters(self) -> None:
        """Draws the table anew."""
        torch.nn.init.normal_(self.weight, std=self.std)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.num_nodes}, {self.embedding_dim}, num_rows={self.num_rows}"
