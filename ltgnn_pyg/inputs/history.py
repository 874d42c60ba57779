from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.graph.graph import Graph
from ltgnn_pyg.graph.product import aggregate, propagate


class History(torch.nn.Module):
    r"""Embeddings of earlier batches, kept so that one step can start from them.

    The histories of `"Linear-Time Graph Neural Networks for Scalable
    Recommendations" <https://arxiv.org/abs/2402.13973>`_, in the grammar of
    `GNNAutoScale <https://arxiv.org/abs/2106.05609>`_ (pull, push). The tables:

    * :obj:`output` :math:`Z_{hist}`: the newest embedding of each node;
    * :obj:`reference` :math:`Z_{ref}`: a snapshot of it, taken at
      :meth:`refresh`;
    * :obj:`difference` :math:`Z_{hist} - Z_{ref}`: what the control variate
      samples. It is stored in place of :obj:`output`, which is the sum of the
      two, so that a step gathers its neighbours once;
    * :obj:`aggregate` :math:`M = \hat{A} Z_{ref}`: the exact aggregate of the
      snapshot.

    They take no memory until :meth:`refresh` fills them, and are in the
    :meth:`state_dict` from then on. They are no buffers: wrappers that copy or
    broadcast the buffers of a module leave them alone. The loader pulls, the model
    pushes, and nothing else touches them.

    Args:
        num_nodes (int): The number of nodes.
        embedding_dim (int): The size of a row.
        device (torch.device or str, optional): The device of the tables. If given,
            they stay there whatever the model they belong to is moved to
            (CPU-resident histories of a GPU model). If :obj:`None`, they follow
            the model. (default: :obj:`None`)
        dtype (torch.dtype, optional): The type of the tables, *e.g.*,
            :obj:`torch.bfloat16`; arithmetic is in :obj:`float32` at least. If
            given, it stays. If :obj:`None`, it follows the model.
            (default: :obj:`None`)

    Raises:
        ValueError: If a size is not positive.

    *Cost:* Three tables of N x dim numbers.
    """

    NAMES = ("reference", "difference", "aggregate")

    _like: Tensor
    reference: Tensor | None
    difference: Tensor | None
    aggregate: Tensor | None

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_nodes < 1 or embedding_dim < 1:
            raise ValueError(
                f"Expected positive 'num_nodes' and 'embedding_dim' (got "
                f"{num_nodes} and {embedding_dim})"
            )
        self.num_nodes = num_nodes
        self.embedding_dim = embedding_dim
        self.num_refreshes = 0
        self._fixed_device = None if device is None else torch.device(device)
        self._fixed_dtype = dtype
        self.reference = self.difference = self.aggregate = None
        # Of no rows: where an empty history is, and of what type.
        like = torch.empty(0, device=device, dtype=dtype)
        self.register_buffer("_like", like, persistent=False)

    def allocate(self) -> None:
        """Makes the tables, of zeros, ahead of the first :meth:`refresh`; on the
        :obj:`"meta"` device, where a model for
        :func:`~ltgnn_pyg.inputs.memory_map.memory_map_` is built, without memory.
        """
        for name in self.NAMES:
            table = self._like.new_zeros(self.num_nodes, self.embedding_dim)
            setattr(self, name, table)

    def tables(self) -> dict[str, Tensor]:
        """The tables by name; none of an empty history."""
        return {name: self._table(name) for name in self.NAMES if not self.is_empty}

    @property
    def is_empty(self) -> bool:
        """True if there are no tables yet."""
        return self.reference is None

    def output(self) -> Tensor:
        """All rows of :math:`Z_{hist}`, a new tensor :obj:`[num_nodes, dim]`."""
        index = torch.arange(self.num_nodes, device=self._table("reference").device)
        return self.pull("output", index)

    def reset_parameters(self) -> None:
        """Empties all tables; those that were made keep their place."""
        self.num_refreshes = 0
        for table in self.tables().values():
            table.zero_()

    @torch.no_grad()
    def pull(
        self,
        name: str,
        index: Tensor,
        weight: Tensor | None = None,
        ptr: Tensor | None = None,
    ) -> Tensor:
        r"""Reads rows, or weighted sums of rows.

        Args:
            name (str): The table.
            index (torch.Tensor): The rows to read :obj:`[num_entries]`.
            weight (torch.Tensor, optional): If given together with :obj:`ptr`,
                returns :math:`\sum_e w_e \mathbf{t}_{i_e}` over each segment of
                entries instead of the rows themselves: nothing of size
                :obj:`num_entries x dim` is stored or leaves the history's
                device. (default: :obj:`None`)
            ptr (torch.Tensor, optional): The segment boundaries
                :obj:`[num_segments + 1]`. (default: :obj:`None`)

        Returns:
            :obj:`[num_entries, dim]` or :obj:`[num_segments, dim]`, on the device
            of :obj:`index`, in :obj:`float32` at least.

        Raises:
            KeyError: If there is no such table.
            ValueError: If the history is empty.

        *Cost:* O(num_entries x dim) time.
        """
        if name == "output":
            return self.pull("reference", index, weight, ptr).add_(
                self.pull("difference", index, weight, ptr)
            )
        if (weight is None) != (ptr is None):
            raise ValueError("Expected 'weight' and 'ptr' together (got only one)")
        table, device = self._table(name), index.device
        index = index.to(table.device)
        if weight is None or ptr is None:  # Neither is given.
            rows = table.index_select(0, index)
        else:
            weight, ptr = weight.to(table.device), ptr.to(table.device, index.dtype)
            rows = aggregate(table, index, weight, ptr)
        return rows.to(device, torch.promote_types(rows.dtype, torch.float32))

    @torch.no_grad()
    def push(self, index: Tensor, output: Tensor) -> None:
        """Writes rows of :obj:`output`, as their difference to the reference;
        :obj:`index` holds no node twice.

        Args:
            index (torch.Tensor): The rows to write :obj:`[num_rows]`.
            output (torch.Tensor): Their new values :obj:`[num_rows, dim]`.

        Raises:
            ValueError: If the history is empty.

        *Cost:* O(num_rows x dim) time.
        """
        difference = self._table("difference")
        output = output - self.pull("reference", index).to(output.device)
        difference.index_copy_(0, index.to(difference.device), output.to(difference))

    @torch.no_grad()
    def refresh(self, graph: Graph, output: Tensor | None = None) -> None:
        r"""Renews the snapshot and its exact aggregate.

        :math:`Z_{ref} \leftarrow Z_{hist}` and :math:`M \leftarrow \hat{A}
        Z_{ref}`, one sparse product.

        Args:
            graph (Graph): The graph, with :math:`\hat{A}`.
            output (torch.Tensor, optional): Replaces all of :obj:`output` first
                :obj:`[num_nodes, dim]`; the first call needs it.
                (default: :obj:`None`)

        Raises:
            ValueError: If the sizes differ, or an empty history is given no rows.

        *Cost:* O(E x dim) time.
        """
        if graph.num_nodes != self.num_nodes:
            raise ValueError(
                f"Expected a graph of the history's {self.num_nodes} nodes (got "
                f"{graph.num_nodes}); call 'append' when nodes were appended"
            )
        if output is not None and self.is_empty:
            self.allocate()
        reference, difference = self._table("reference"), self._table("difference")
        if output is None:
            reference.add_(difference)
        else:
            reference.copy_(output)
        difference.zero_()
        operator = graph.operator
        if operator.device != reference.device:
            operator = graph.matrix.to(reference.device)
        propagate(operator, reference, out=self._table("aggregate"))
        self.num_refreshes += 1

    def append(self, num_nodes: int) -> None:
        """Adds rows of zeros for nodes that were appended to a graph, behind the last;
        all others stay as they are.

        Args:
            num_nodes (int): The number of new nodes.

        *Cost:* O(N x dim) time, and twice the memory of a table meanwhile.
        """
        self.num_nodes += num_nodes
        for name, table in self.tables().items():
            new = table.new_zeros(num_nodes, table.size(1))
            setattr(self, name, torch.cat([table, new]))

    def get_extra_state(self) -> dict[str, Any]:
        """The tables, and how often they were renewed."""
        return {"num_refreshes": self.num_refreshes, "tables": self.tables()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`get_extra_state` returned, in place where there are
        tables already.

        Raises:
            ValueError: If sizes differ.
        """
        for table in state["tables"].values():
            if tuple(table.size()) != (self.num_nodes, self.embedding_dim):
                raise ValueError(
                    f"Expected tables of {self.num_nodes} nodes and "
                    f"{self.embedding_dim} columns (got {tuple(table.size())}); call "
                    "'append' before"
                )
        if not state["tables"]:
            self.reference = self.difference = self.aggregate = None
        elif self.is_empty:
            self.allocate()
        for name, table in state["tables"].items():
            self._table(name).copy_(table)
        self.num_refreshes = state["num_refreshes"]

    def _table(self, name: str) -> Tensor:
        if name not in self.NAMES:
            raise KeyError(f"Expected one of {['output', *self.NAMES]} (got '{name}')")
        table: Tensor | None = getattr(self, name)
        if table is None:
            raise ValueError(
                "Expected a filled history (got an empty one); pass 'output' to its "
                "first 'refresh', as an epoch of a 'VRNeighborLoader' does"
            )
        return table

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Moves and converts like any module, but for what was fixed."""
        device, dtype = self._fixed_device, self._fixed_dtype
        for name, table in {"_like": self._like, **self.tables()}.items():
            if device is None and dtype is None:
                setattr(self, name, fn(table))
            else:
                like = fn(table[:0])
                moved = table.to(device or like.device, dtype or like.dtype)
                setattr(self, name, moved)
        return self

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.num_nodes}, {self.embedding_dim})"
