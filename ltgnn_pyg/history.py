from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ltgnn_pyg.adjacency import aggregate, propagate


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
      snapshot;
    * :obj:`gradient` :math:`V_{hist}`, the newest gradient of each node, only
      with :obj:`gradient=True`;
    * :obj:`visits`, how often each node was a seed, :obj:`[num_nodes, 1]`, only
      with :obj:`visits=True`.

    All tables are in the :meth:`state_dict`. The loader pulls, the model pushes,
    and nothing else touches them.

    Args:
        num_nodes (int): The number of nodes.
        embedding_dim (int): The size of a row.
        control_variate (bool, optional): Keeps :obj:`difference` and
            :obj:`aggregate`; otherwise :obj:`output` is the reference.
            (default: :obj:`True`)
        gradient (bool, optional): Keeps the table :obj:`gradient`.
            (default: :obj:`False`)
        visits (bool, optional): Keeps the table :obj:`visits`.
            (default: :obj:`False`)
        device (torch.device or str, optional): Where the tables live. If given,
            they stay there whatever the model they belong to is moved to
            (CPU-resident histories of a GPU model). If :obj:`None`, they follow
            the model. (default: :obj:`None`)
        dtype (torch.dtype, optional): How the tables are stored, *e.g.*,
            :obj:`torch.bfloat16`; arithmetic is in :obj:`float32` at least. If
            given, it stays. If :obj:`None`, the default type.
            (default: :obj:`None`)

    Raises:
        ValueError: If a size is not positive.

    *Cost:* Three tables of N x dim numbers, one without a control variate; one more
    with gradients.
    """

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        *,
        control_variate: bool = True,
        gradient: bool = False,
        visits: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_nodes < 1 or embedding_dim < 1:
            raise ValueError(
                f"Expected positive 'num_nodes' and 'embedding_dim' (got "
                f"{num_nodes} and {embedding_dim})"
            )
        self.embedding_dim = embedding_dim
        self.num_refreshes = 0
        self._fixed_device = None if device is None else torch.device(device)
        self._fixed_dtype = dtype
        names = ["reference"] + ["difference", "aggregate"] * control_variate
        names += ["gradient"] * gradient + ["visits"] * visits
        for name in names:
            dim = 1 if name == "visits" else embedding_dim
            kind = torch.float32 if name == "visits" else dtype
            table = torch.zeros(num_nodes, dim, device=device, dtype=kind)
            self.register_buffer(name, table)

    @property
    def num_nodes(self) -> int:
        """The number of rows of each table."""
        return self.get_buffer("reference").size(0)

    @property
    def output(self) -> Tensor:
        """All rows of :obj:`output`, a new tensor :obj:`[num_nodes, dim]`."""
        reference = self._table("reference")
        return self.pull(
            "output", torch.arange(self.num_nodes, device=reference.device)
        )

    def __contains__(self, name: str) -> bool:
        """Whether a table of this name is kept."""
        return name == "output" or name in self._buffers

    def reset_parameters(self) -> None:
        """Empties all tables."""
        self.num_refreshes = 0
        for table in self.buffers():
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

        *Cost:* O(num_entries x dim) time.
        """
        if name == "output" and "difference" not in self:
            name = "reference"
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
            weight, ptr = weight.to(table.device), ptr.to(table.device)
            rows = aggregate(table, index, weight, ptr)
        return rows.to(device, torch.promote_types(rows.dtype, torch.float32))

    @torch.no_grad()
    def push(
        self, name: str, index: Tensor, rows: Tensor, accumulate: bool = False
    ) -> None:
        """Writes rows; :obj:`index` holds no node twice.

        Args:
            name (str): The table; :obj:`output` is kept as its difference to the
                reference.
            index (torch.Tensor): The rows to write :obj:`[num_rows]`.
            rows (torch.Tensor): Their new values :obj:`[num_rows, dim]`.
            accumulate (bool, optional): Adds to the rows instead.
                (default: :obj:`False`)

        Raises:
            KeyError: If there is no such table.

        *Cost:* O(num_rows x dim) time.
        """
        if name == "output" and "difference" not in self:
            name = "reference"
        if name == "output":
            rows = rows - self.pull("reference", index).to(rows.device)
            name = "difference"
        table = self._table(name)
        index, rows = index.to(table.device), rows.to(table)
        if accumulate:
            table.index_add_(0, index, rows)
        else:
            table.index_copy_(0, index, rows)

    @torch.no_grad()
    def refresh(self, adj_t: Tensor, output: Tensor | None = None) -> None:
        r"""Renews the snapshot and its exact aggregate.

        :math:`Z_{ref} \leftarrow Z_{hist}` and :math:`M \leftarrow \hat{A}
        Z_{ref}`, one sparse product.

        Args:
            adj_t (torch.Tensor): :math:`\hat{A}` as a sparse CSR matrix, as made
                by :func:`~ltgnn_pyg.normalized_adj`.
            output (torch.Tensor, optional): Replaces all of :obj:`output` first
                :obj:`[num_nodes, dim]`. (default: :obj:`None`)

        Raises:
            ValueError: If the sizes differ.

        *Cost:* O(E x dim) time.
        """
        if adj_t.size(0) != self.num_nodes or adj_t.size(1) != self.num_nodes:
            raise ValueError(
                f"Expected a matrix over the history's {self.num_nodes} nodes (got "
                f"{tuple(adj_t.size())}); call 'resize' when nodes were added"
            )
        reference = self._table("reference")
        if output is not None:
            reference.copy_(output)
        if "difference" in self:
            difference = self._table("difference")
            if output is None:
                reference.add_(difference)
            difference.zero_()
            agg = self._table("aggregate")
            propagate(adj_t.to(reference.device), reference, out=agg)
        self.num_refreshes += 1

    def resize(self, num_nodes: int) -> None:
        """Adds rows of zeros for new nodes, or drops the last rows.

        *Cost:* O(N x dim) time, and twice the memory of a table meanwhile.
        """
        for name, table in list(self._buffers.items()):
            assert table is not None
            new = table.new_zeros(num_nodes, table.size(1))
            keep = min(num_nodes, table.size(0))
            new[:keep] = table[:keep]
            self._buffers[name] = new

    def get_extra_state(self) -> dict[str, int]:
        """What the state holds beside the tables."""
        return {"num_refreshes": self.num_refreshes}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restores what :meth:`get_extra_state` returned."""
        self.num_refreshes = state["num_refreshes"]

    def _table(self, name: str) -> Tensor:
        table = self._buffers.get(name)
        if table is None:
            flag = "control_variate" if name in ("difference", "aggregate") else name
            known = flag in ("control_variate", "gradient", "visits")
            hint = f"; pass '{flag}=True'" if known else ""
            raise KeyError(
                f"Expected one of {['output', *self._buffers]} (got '{name}'){hint}"
            )
        return table

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Moves and converts like any module, but for what was fixed."""
        for name, table in self._buffers.items():
            assert table is not None
            device, dtype = self._fixed_device, self._fixed_dtype
            if name == "visits":  # Counts, which a narrow type would round.
                dtype = table.dtype
            if device is None and dtype is None:
                self._buffers[name] = fn(table)
            else:
                like = fn(table[:0])
                self._buffers[name] = table.to(
                    device or like.device, dtype or like.dtype
                )
        return self

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.num_nodes}, {self.embedding_dim})"
