"""The numbers of nodes of several types: one sequence, which only grows."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Numbering:
    r"""One numbering of the nodes of all types, *append-only*: nodes that come later
    take the next numbers, whatever their type, and no node ever changes its own.

    A *run* is a block of consecutive numbers of one type. A fresh numbering has one run
    a type; each :meth:`append` adds one for each type that it adds to.

    .. code-block:: python

        numbering = Numbering.of({"user": 3, "item": 2})  # Users 0 1 2, items 3 4.
        numbering = numbering.append({"user": 1})         # The new user is node 5.
        numbering.number("user", torch.tensor([0, 3]))
        >>> tensor([0, 5])

    Args:
        runs (tuple): The type and the length of each run, in the order of the numbers.

    *Cost:* O(number of runs).
    """

    runs: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, num: Mapping[str, int]) -> "Numbering":
        """A fresh numbering, type by type.

        Args:
            num (dict): The number of nodes of each type.

        Raises:
            ValueError: If a number is negative.
        """
        for node_type, count in num.items():
            if count < 0:
                raise ValueError(
                    f"Expected numbers of nodes (got {count} of type '{node_type}')"
                )
        return cls(tuple(num.items()))

    def append(self, num: Mapping[str, int]) -> "Numbering":
        """The numbering with more nodes, which take the next numbers.

        Args:
            num (dict): The number of new nodes of each type; a type may be new.

        Raises:
            ValueError: If a number is negative.
        """
        more = Numbering.of({name: count for name, count in num.items() if count != 0})
        new = tuple((name, 0) for name in num if name not in self.node_types)
        return Numbering(self.runs + new + more.runs)

    @property
    def node_types(self) -> tuple[str, ...]:
        """The types, in the order of their first nodes."""
        return tuple(dict.fromkeys(name for name, _ in self.runs))

    @property
    def num_nodes(self) -> int:
        """The number of nodes of all types."""
        return sum(count for _, count in self.runs)

    def count(self, node_type: str) -> int:
        """The number of nodes of a type."""
        return sum(high - low for low, high in self.spans(node_type))

    def nodes(
        self, node_type: str, device: torch.device | None = None
    ) -> slice | Tensor:
        """The numbers of all nodes of a type, by their index: a slice where they are
        consecutive, which takes rows of a table without a copy, otherwise a tensor.

        Args:
            node_type (str): The type.
            device (torch.device, optional): Of the tensor. (default: :obj:`None`)

        *Cost:* O(1), or the size of the result.
        """
        bounds = [each for each in self.spans(node_type) if each[0] < each[1]]
        if len(bounds) < 2:
            return slice(*bounds[0]) if bounds else slice(0, 0)
        return torch.cat([torch.arange(*each, device=device) for each in bounds])

    def number(self, node_type: str, index: Tensor) -> Tensor:
        """The numbers of some nodes of a type.

        Args:
            node_type (str): The type.
            index (torch.Tensor): The nodes, counted from 0 within the type.
        """
        bounds = self.spans(node_type)
        if len(bounds) == 1:
            return index + bounds[0][0] if bounds[0][0] else index
        first, ptr = self._tables(node_type, index)
        run = torch.searchsorted(ptr, index.contiguous(), right=True) - 1
        return index + (first - ptr)[run]

    def index(self, node_type: str, n_id: Tensor) -> Tensor:
        """The indices of some nodes within their type, the inverse of :meth:`number`.

        Args:
            node_type (str): The type, which all of them have.
            n_id (torch.Tensor): Their numbers.
        """
        bounds = self.spans(node_type)
        if len(bounds) == 1:
            return n_id - bounds[0][0] if bounds[0][0] else n_id
        first, ptr = self._tables(node_type, n_id)
        run = torch.searchsorted(first, n_id.contiguous(), right=True) - 1
        return n_id - (first - ptr)[run]

    def is_of(self, node_type: str, n_id: Tensor) -> Tensor:
        """A mask of the nodes that are of a type.

        Args:
            node_type (str): The type.
            n_id (torch.Tensor): Numbers of nodes; others than those are of none.
        """
        out = torch.zeros_like(n_id, dtype=torch.bool)
        for low, high in self.spans(node_type):
            out |= (n_id >= low) & (n_id < high)
        return out

    def spans(self, node_type: str) -> list[tuple[int, int]]:
        """The first number of each run of a type, and the one after its last; runs
        side by side are one.
        """
        found: list[tuple[int, int]] = []
        start = 0
        for name, count in self.runs:
            if name == node_type:
                first = found.pop()[0] if found and found[-1][1] == start else start
                found.append((first, start + count))
            start += count
        if not found:
            raise ValueError(
                f"Expected a type among {self.node_types} (got {node_type!r}); append "
                "nodes of it first"
            )
        return found

    def _tables(self, node_type: str, like: Tensor) -> tuple[Tensor, Tensor]:
        """The first number and the first index of each run of a type."""
        bounds = [each for each in self.spans(node_type) if each[0] < each[1]]
        first = like.new_tensor([low for low, _ in bounds])
        size = like.new_tensor([high - low for low, high in bounds])
        return first, size.cumsum(0, dtype=like.dtype) - size
