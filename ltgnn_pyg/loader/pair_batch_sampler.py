from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler
from torch_geometric.utils import index_sort


class PairBatchSampler(Sampler[list[int]]):
    r"""Batches of training pairs, in either order the literature uses.

    * Every pair once an epoch, shuffled or not.
    * User-balanced, as in the reference code of `LightGCN
      <https://arxiv.org/abs/2002.02126>`_: as many draws as there are pairs, each
      of a user uniformly among those with a pair, then of one of the user's
      pairs.

    Args:
        src (torch.Tensor): The user of each pair :obj:`[num_pairs]`.
        batch_size (int): Pairs in a batch.
        shuffle (bool, optional): Draws the order anew each epoch.
            (default: :obj:`True`)
        user_balanced (bool, optional): Draws users, not pairs.
            (default: :obj:`False`)
        drop_last (bool, optional): Drops the last batch if it is smaller.
            (default: :obj:`False`)
        generator (torch.Generator, optional): Draws the order. If :obj:`None`,
            torch's global generator does. (default: :obj:`None`)

    Raises:
        ValueError: If there is no pair or :obj:`batch_size` is not positive.

    *Cost:* 4 bytes a pair (8 from 2^31 pairs on, or balanced) while an epoch lasts.
    """

    def __init__(
        self,
        src: Tensor,
        batch_size: int,
        shuffle: bool = True,
        user_balanced: bool = False,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        if src.numel() == 0:
            raise ValueError("Expected at least one training pair (got none)")
        if batch_size < 1:
            raise ValueError(f"Expected a positive 'batch_size' (got {batch_size})")
        self.num_pairs = src.numel()
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.user_balanced = user_balanced
        self.drop_last = drop_last
        self.generator = generator
        if user_balanced:
            user, self._perm = index_sort(src.cpu())
            _, count = torch.unique_consecutive(user, return_counts=True)
            self._count, self._start = count, count.cumsum(0) - count

    def __len__(self) -> int:
        extra = 0 if self.drop_last else self.batch_size - 1
        return (self.num_pairs + extra) // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = self.order = self._order()
        for i in range(len(self)):
            yield order[i * self.batch_size : (i + 1) * self.batch_size].tolist()

    def _order(self) -> Tensor:
        """The pairs of an epoch, one after the other."""
        num, generator = self.num_pairs, self.generator
        if self.user_balanced:
            user = torch.randint(self._count.numel(), (num,), generator=generator)
            u = torch.rand(num, dtype=torch.double, generator=generator)
            return self._perm[self._start[user] + (u * self._count[user]).long()]
        dtype = torch.int32 if num < 2**31 else torch.int64
        if self.shuffle:
            return torch.randperm(num, dtype=dtype, generator=generator)
        return torch.arange(num, dtype=dtype)
