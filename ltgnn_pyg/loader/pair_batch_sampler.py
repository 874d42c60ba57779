from collections.abc import Iterator
from itertools import pairwise

import torch
from torch.utils.data import Sampler


class PairBatchSampler(Sampler[list[int]]):
    r"""Every training pair once an epoch, in batches or in rounds of batches.

    Args:
        num_pairs (int): The number of pairs.
        batch_size (int): Pairs in a batch.
        num_rounds (int, optional): Cuts an epoch into that many rounds of nearly
            equally many batches (into fewer, of a batch each, if there are not as
            many). If :obj:`None`, each batch comes alone. (default: :obj:`None`)
        shuffle (bool, optional): Draws the order anew each epoch.
            (default: :obj:`True`)
        drop_last (bool, optional): Drops the last batch if it is smaller.
            (default: :obj:`False`)
        generator (torch.Generator, optional): Draws the order. If :obj:`None`,
            torch's global generator does. (default: :obj:`None`)

    Raises:
        ValueError: If a number is not positive.

    *Cost:* 4 bytes a pair (8 from 2^31 pairs on) while an epoch lasts.
    """

    def __init__(
        self,
        num_pairs: int,
        batch_size: int,
        num_rounds: int | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        if num_pairs < 1:
            raise ValueError("Expected at least one training pair (got none)")
        if batch_size < 1 or (num_rounds is not None and num_rounds < 1):
            raise ValueError(
                "Expected positive 'batch_size' and 'num_rounds' (got "
                f"{batch_size} and {num_rounds})"
            )
        if drop_last and num_pairs < batch_size:
            raise ValueError(
                f"Expected a batch of pairs at least for 'drop_last' (got {num_pairs} "
                f"for batches of {batch_size}); lower 'batch_size'"
            )
        self.num_pairs = num_pairs
        self.batch_size = batch_size
        self.num_rounds = num_rounds
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator

    @property
    def num_batches(self) -> int:
        """The number of batches of an epoch, in rounds or not."""
        extra = 0 if self.drop_last else self.batch_size - 1
        return (self.num_pairs + extra) // self.batch_size

    def __len__(self) -> int:
        if self.num_rounds is None:
            return self.num_batches
        return min(self.num_rounds, self.num_batches)

    def __iter__(self) -> Iterator[list[int]]:
        num, generator = self.num_pairs, self.generator
        dtype = torch.int32 if num < 2**31 else torch.int64
        if self.shuffle:
            order = torch.randperm(num, dtype=dtype, generator=generator)
        else:
            order = torch.arange(num, dtype=dtype)
        # Round i holds the batches [i b / r, (i + 1) b / r), rounded up.
        bound = [-(-i * self.num_batches // len(self)) for i in range(len(self) + 1)]
        for first, end in pairwise(bound):
            yield order[first * self.batch_size : end * self.batch_size].tolist()
