import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear

from ltgnn_pyg.inputs.inputs import Inputs


class Features(Inputs):
    r"""A linear map of what is known of the nodes of a range, and zeros for the others.

    .. math::
        \mathbf{x}_i = W \mathbf{c}_i + \mathbf{b}

    so that a node without interactions has a row too. Features follow the module to its
    device, and are no part of its state.

    Args:
        c (torch.Tensor): The features, a row a node, dense or sparse COO.
        num_nodes (int): The number of nodes.
        embedding_dim (int, optional): The size of a row. (default: :obj:`64`)
        first (int, optional): The first node with features. (default: :obj:`0`)

    Shapes:
        :obj:`c` :math:`(\text{num_rows}, \text{num_features})`

    Raises:
        ValueError: If :obj:`c` are no features of some of the nodes.

    *Cost:* O(num_features x dim) numbers; a product of :obj:`c` for :meth:`table`.
    """

    c: Tensor

    def __init__(
        self, c: Tensor, num_nodes: int, embedding_dim: int = 64, *, first: int = 0
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        known = c.layout in (torch.strided, torch.sparse_coo) and c.is_floating_point()
        if not known or c.dim() != 2 or not 0 <= first < first + len(c) <= num_nodes:
            raise ValueError(
                f"Expected features as numbers [num_rows, num_features] of some of the "
                f"{num_nodes} nodes (got {c.dtype}, {c.layout}, of shape "
                f"{list(c.size())}, from node {first} on); pass a row a node, dense or "
                "sparse COO"
            )
        self.first = first
        self.register_buffer("c", c, persistent=False)
        self.project = Linear(c.size(1), embedding_dim)

    def rows(self, n_id: Tensor) -> Tensor:
        """Returns the rows of some nodes, zeros for those without features."""
        row = n_id - self.first
        has_row = (row >= 0) & (row < self.c.size(0))
        rows = self.encode(self.c.index_select(0, row.where(has_row, 0)))
        return has_row.unsqueeze(1) * rows

    def table(self) -> Tensor:
        """Returns the rows of all nodes, zeros for those without features."""
        behind = self.num_nodes - self.first - self.c.size(0)
        return F.pad(self.encode(self.c), (0, 0, self.first, behind))

    def fill(self, table: Tensor) -> None:
        """Leaves the map as it is: it has no row for a node."""

    def append(self, num_nodes: int) -> None:
        """Adds nodes without features."""
        self.num_nodes += num_nodes

    def reset_parameters(self) -> None:
        """Draws the map anew."""
        self.project.reset_parameters()

    def encode(self, c: Tensor) -> Tensor:
        """Returns the map of any features :obj:`[num_rows, num_features]`."""
        return c @ self.project.weight.t() + self.project.bias
