import hashlib
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ltgnn_pyg.distributed.process_group import answered


class Partition:
    r"""The rows of a table that each process holds.

    Process :math:`r` of :math:`P` holds the users :math:`[p_r, p_{r+1})`, cut where the
    sums of their degrees reach :math:`r E / P`, so that all hold nearly equally many
    edges, and so many items that all hold nearly equally many rows. Its rows of a table
    are those of its users, then those of its items: :obj:`[num_rows, dim]`.

    Args:
        degree (torch.Tensor): The degree of each user :obj:`[num_users]`.
        num_items (int): The number of items.
        rank (int, optional): The number of this process. If :obj:`None`, that in the
            process group. (default: :obj:`None`)
        world_size (int, optional): The number of processes. If :obj:`None`, that of
            the process group. (default: :obj:`None`)

    Raises:
        ValueError: If there are fewer users or items than processes.
    """

    def __init__(
        self,
        degree: Tensor,
        num_items: int,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        self.rank = dist.get_rank() if rank is None else rank
        self.world_size = dist.get_world_size() if world_size is None else world_size
        self.num_users, self.num_items = degree.numel(), num_items
        size = self.world_size
        if min(self.num_users, num_items) < size:
            raise ValueError(
                f"Expected a user and an item for each of {size} processes (got "
                f"{self.num_users} users and {num_items} items); start fewer"
            )
        total = degree.long().cumsum(0)
        share = torch.arange(1, size, device=total.device) * total[-1] // size
        cut = torch.searchsorted(total, share, right=True)
        self.user_ptr = [0]
        for r, bound in enumerate(
            cut.tolist()
        ):  # Each has a user, whatever the degrees.
            low, high = self.user_ptr[-1] + 1, self.num_users - (size - 1 - r)
            self.user_ptr.append(min(max(bound, low), high))
        self.user_ptr.append(self.num_users)
        self.item_ptr = [0]
        for r in range(1, size):
            bound = r * self.num_nodes // size - self.user_ptr[r]
            low, high = self.item_ptr[-1] + 1, num_items - (size - r)
            self.item_ptr.append(min(max(bound, low), high))
        self.item_ptr.append(num_items)

    def __deepcopy__(self, memo: Any) -> "Partition":
        return self  # Nothing of it changes.

    @property
    def num_nodes(self) -> int:
        """The number of users and items, of all processes."""
        return self.num_users + self.num_items

    @property
    def users(self) -> slice:
        """The users of this process."""
        return slice(*self.user_ptr[self.rank : self.rank + 2])

    @property
    def items(self) -> slice:
        """The items of this process, counted from 0."""
        return slice(*self.item_ptr[self.rank : self.rank + 2])

    @property
    def num_own_users(self) -> int:
        """The number of users of this process."""
        return self.users.stop - self.users.start

    @property
    def num_rows(self) -> int:
        """The number of rows of this process."""
        return self.num_own_users + self.items.stop - self.items.start

    def take(self, table: Tensor) -> Tensor:
        """The rows of this process, a copy, of a whole table."""
        item = table[self.num_users :][self.items]
        return torch.cat([table[self.users], item])

    def chunks(self) -> list[tuple[int, int, int]]:
        """The rows of this process as ranges: the first one here, the first one in the
        whole table, and how many.
        """
        first, num = self.num_users + self.items.start, self.num_own_users
        return [(0, self.users.start, num), (num, first, self.num_rows - num)]

    def n_id(self) -> Tensor:
        """The nodes of the rows of this process."""
        ranges = [torch.arange(low, low + num) for _, low, num in self.chunks()]
        return torch.cat(ranges)

    def owner(self, n_id: Tensor) -> tuple[Tensor, Tensor]:
        """The processes that hold some nodes, and the rows there."""
        item_ptr = [self.num_users + bound for bound in self.item_ptr[1:]]
        first = torch.tensor(self.user_ptr + item_ptr, device=n_id.device)
        place = torch.searchsorted(first, n_id, right=True) - 1
        row, owner = n_id - first[place], place % self.world_size
        # Items stand behind the users of their process.
        row += first.diff()[owner].masked_fill(place < self.world_size, 0)
        return owner, row

    def is_own(self, user: Tensor) -> Tensor:
        """A mask of the users that this process holds."""
        return (user >= self.users.start) & (user < self.users.stop)

    def sum_(self, *tensors: Tensor) -> None:
        """Sums tensors over all processes, in place."""
        with answered():
            for tensor in tensors:
                dist.all_reduce(tensor)

    def gather_items(self, block: Tensor) -> Tensor:
        """The rows of all items, of those that each process holds."""
        return self._gather(block, self.item_ptr)

    def gather(self, table: Tensor) -> Tensor:
        """The rows of all nodes, of those that each process holds."""
        parts = table.split([self.num_own_users, self.num_rows - self.num_own_users])
        user, item = parts
        return torch.cat([self._gather(user, self.user_ptr), self.gather_items(item)])

    def _gather(self, block: Tensor, ptr: list[int]) -> Tensor:
        out = block.new_empty(ptr[-1], *block.size()[1:])
        parts = out.split([high - low for low, high in pairwise(ptr)])
        parts[self.rank].copy_(block)
        with answered():
            for rank, part in enumerate(parts):
                dist.broadcast(part, src=rank)
        return out

    def to_backend(self, tensor: Tensor) -> Tensor:
        """A tensor of the CPU where the backend takes it."""
        return tensor.cuda() if dist.get_backend() == "nccl" else tensor

    def check_alike(self, what: str, *parts: Any) -> None:
        """Raises on all processes if they were not given the same.

        Raises:
            ValueError: If they were not.
        """
        digest = hashlib.sha256()
        for part in parts:
            whole = isinstance(part, Tensor)
            digest.update(_bytes(part) if whole else repr(part).encode())
        own = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
        own = self.to_backend(own.long())
        first = own.clone()
        with answered():
            dist.broadcast(first, src=0)
            differ = (first != own).any().long()
            dist.all_reduce(differ)
        if int(differ) > 0:
            raise ValueError(
                f"Expected the same {what} in all processes (got others); build all "
                "of it alike, after 'torch.manual_seed' with one seed"
            )


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
