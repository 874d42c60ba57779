from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import ModuleList

from ltgnn_pyg.inputs.inputs import Inputs


class SumInputs(Inputs):
    r"""The sum of several inputs of the same nodes, such as a table of those that were
    trained on and an encoder of what is known of all.

    .. math::
        \mathbf{x}_i = \sum_p \mathbf{x}_i^{(p)}

    Args:
        parts (list of Inputs): The inputs.

    Raises:
        ValueError: If there is none, or they differ in size.

    *Cost:* That of the parts.
    """

    def __init__(self, parts: list[Inputs]) -> None:
        sizes = {(part.num_nodes, part.embedding_dim) for part in parts}
        if len(sizes) != 1:
            raise ValueError(
                f"Expected inputs of as many nodes and columns (got {sorted(sizes)})"
            )
        super().__init__(*sizes.pop())
        self.parts = ModuleList(parts)

    @property
    def _all(self) -> list[Any]:
        return list(self.parts)

    def rows(self, n_id: Tensor) -> Tensor:
        """Returns the rows of some nodes."""
        return reduce(torch.add, (part.rows(n_id) for part in self._all))

    def table(self) -> Tensor:
        """Returns the rows of all nodes."""
        return reduce(torch.add, (part.table() for part in self._all))

    def fill(self, table: Tensor) -> None:
        """Hands the table to all parts."""
        for part in self._all:
            part.fill(table)

    def append(self, num_nodes: int) -> None:
        """Adds nodes to all parts."""
        for part in self._all:
            part.append(num_nodes)
        self.num_nodes += num_nodes

    def reset_parameters(self) -> None:
        """Draws all parts anew."""
        for part in self._all:
            part.reset_parameters()
