from typing import Any

import torch
from torch import Tensor
from torch_geometric.sampler import NegativeSampling
from torch_geometric.utils import index_sort

from ltgnn_pyg.sampler.generator import generator_here


class ItemNegativeSampling(NegativeSampling):
    r"""Negative items for user-item pairs: PyG's triplet sampling, made for
    recommendation.

    PyG's :class:`~torch_geometric.sampler.NegativeSampling` draws from all nodes
    of a homogeneous graph, users included, and keeps items that the user has
    seen. Here negatives are items; with :obj:`reject_seen` they follow, exactly,
    the same distribution conditioned on not being seen by the user of the pair.

    Uniform draws need no rejection loop: the :math:`r`-th unseen item of a user
    is found by bisection in the user's sorted seen items. Draws by popularity
    (:math:`p_i \propto d_i^{power}`, with power 0.75 as in `word2vec
    <https://arxiv.org/abs/1310.4546>`_) repeat those that were seen.

    Args:
        num_users (int): The number of users; they are the nodes before the items.
        num_items (int): The number of items.
        amount (int, optional): Negatives for each positive, or for the whole batch
            with :obj:`shared`. (default: :obj:`1`)
        edge_index (torch.Tensor, optional): The pairs seen, :obj:`[2, num_pairs]`
            node ids, users first, *e.g.*, :obj:`split.train`. Needed by the next
            two arguments. (default: :obj:`None`)
        reject_seen (bool, optional): Never draws an item the user has seen.
            (default: :obj:`False`)
        power (float, optional): The exponent of popularity; 0 is uniform.
            (default: :obj:`0.0`)
        shared (bool, optional): Draws one set of negatives for all pairs of a
            batch. (default: :obj:`False`)
        generator (torch.Generator, optional): Draws the negatives. If :obj:`None`,
            torch's global generator does. (default: :obj:`None`)

    Raises:
        ValueError: If arguments contradict each other, an index is no user or
            item, or a user has seen every item.

    *Cost:* O(log d) time a uniform draw; O(E) memory with :obj:`reject_seen`.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        amount: int = 1,
        *,
        edge_index: Tensor | None = None,
        reject_seen: bool = False,
        power: float = 0.0,
        shared: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__("triplet", amount)
        if shared and reject_seen:
            raise ValueError(
                "Expected at most one of 'shared' and 'reject_seen': negatives "
                "shared by a batch are seen by some of its users"
            )
        if edge_index is None and (reject_seen or power != 0.0):
            raise ValueError(
                "Expected 'edge_index' with the pairs seen, for 'reject_seen' or "
                "'power' (got None); pass the training pairs"
            )
        self.num_users = num_users
        self.num_items = num_items
        self.reject_seen = reject_seen
        self.shared = shared
        self.generator = generator
        self._cdf: Tensor | None = None
        if edge_index is None:
            return
        user, item = edge_index[0], edge_index[1] - num_users
        if user.numel() and (
            int(user.min()) < 0
            or int(user.max()) >= num_users
            or int(item.min()) < 0
            or int(item.max()) >= num_items
        ):
            raise ValueError(
                f"Expected 'edge_index' to lead from users [0, {num_users}) to items "
                f"[{num_users}, {num_users + num_items}) (got users in "
                f"[{int(user.min())}, {int(user.max())}], items in "
                f"[{int(edge_index[1].min())}, {int(edge_index[1].max())}])"
            )
        if power != 0.0:
            degree = torch.bincount(item, minlength=num_items).double()
            weight = degree.pow(power).masked_fill_(degree == 0, 0.0)
            self._cdf = weight.cumsum(0).div_(weight.sum())
        if reject_seen:
            key, _ = index_sort(user * num_items + item, num_users * num_items)
            key = torch.unique_consecutive(key)
            user, item = key // num_items, key % num_items
            self._item = item.int()
            self._ptr = torch._convert_indices_from_coo_to_csr(user, num_users)
            self._num_seen = self._ptr.diff()
            self._depth = int(self._num_seen.max()).bit_length()
            self._check_candidates(weight if power != 0.0 else None, user, item)

    def _check_candidates(
        self, weight: Tensor | None, user: Tensor, item: Tensor
    ) -> None:
        """Raises if a user has seen every item that can be drawn."""
        left = self.num_items - self._num_seen
        if weight is not None:
            drawable = weight > 0
            seen = torch.bincount(user[drawable[item]], minlength=self.num_users)
            left = drawable.sum() - seen
        if int(left.min()) < 1:
            raise ValueError(
                f"Expected every user to have an unseen item (got user "
                f"{int(left.argmin())}, who has seen all that can be drawn); drop "
                "such users or pass 'reject_seen=False'"
            )

    @property
    def q(self) -> Tensor | None:
        """How likely each item is drawn :obj:`[num_items]`, before seen ones are
        rejected; :obj:`None` if all are alike.
        """
        if self._cdf is None:
            return None
        return self._cdf.diff(prepend=self._cdf.new_zeros(1))

    def sample(
        self, num_samples: int, endpoint: str, num_nodes: int | None = None
    ) -> Tensor:
        """Draws node ids of items (or users), for samplers that know no pairs.

        Raises:
            ValueError: With :attr:`reject_seen`, which needs the pairs.
        """
        if self.reject_seen:
            raise ValueError(
                "This sampler draws negatives without regard to the user, so seen "
                "items cannot be rejected; use 'VRNeighborLoader' or wrap the "
                "sampler in 'ltgnn_pyg.sampler.LinkSampler'"
            )
        if endpoint == "src":
            return self._uniform(num_samples, torch.device("cpu"), self.num_users)
        return self._draw(num_samples, torch.device("cpu")) + self.num_users

    def sample_for(self, src: Tensor) -> Tensor:
        r"""Draws negatives for the users of a batch.

        Args:
            src (torch.Tensor): The users :obj:`[batch_size]`.

        Returns:
            Node ids of items, :obj:`[batch_size]`, :obj:`[batch_size, amount]` if
            :attr:`amount` is above 1, or :obj:`[1, amount]` if :attr:`shared`.
        """
        amount, num_pairs = int(self.amount), src.numel()
        if self.shared:
            return self._draw(amount, src.device).view(1, -1) + self.num_users
        user = src if amount == 1 else src.repeat_interleave(amount)
        if not self.reject_seen:
            item = self._draw(user.numel(), src.device)
        elif self._cdf is None:
            u = self._rand(user.numel(), src.device)
            rank = (u * (self.num_items - self._num_seen[user])).long()
            item = rank + self._count_seen(user, rank, unseen_rank=True)
        else:
            item = self._draw(user.numel(), src.device)
            again = self._is_seen(user, item).nonzero().view(-1)
            while again.numel() > 0:
                item[again] = self._draw(again.numel(), src.device)
                again = again[self._is_seen(user[again], item[again])]
        item = item + self.num_users
        return item if amount == 1 else item.view(num_pairs, amount)

    def _rand(self, num: int, device: torch.device) -> Tensor:
        generator = generator_here(self.generator, device)
        return torch.rand(num, dtype=torch.double, device=device, generator=generator)

    def _uniform(self, num: int, device: torch.device, high: int) -> Tensor:
        generator = generator_here(self.generator, device)
        return torch.randint(high, (num,), device=device, generator=generator)

    def _draw(self, num: int, device: torch.device) -> Tensor:
        if self._cdf is None:
            return self._uniform(num, device, self.num_items)
        u = self._rand(num, device)
        return torch.searchsorted(self._cdf, u, right=True).clamp_(
            max=self.num_items - 1
        )

    def _count_seen(self, user: Tensor, value: Tensor, unseen_rank: bool) -> Tensor:
        r"""Bisects each user's sorted seen items :math:`s_0 < s_1 < \ldots`

        for the number of :math:`t` with :math:`s_t \le` value, or, to skip seen
        items, with :math:`s_t - t \le` value, the number of unseen items below.
        """
        base = self._ptr[user]
        low, high = base, base + self._num_seen[user]
        last = self._item.numel() - 1
        for _ in range(self._depth):
            mid = (low + high) // 2
            key = self._item[mid.clamp(max=last)].long()
            key = key - (mid - base) if unseen_rank else key
            right = (key <= value) & (low < high)
            low, high = torch.where(right, mid + 1, low), torch.where(right, high, mid)
        return low - base

    def _is_seen(self, user: Tensor, item: Tensor) -> Tensor:
        count = self._count_seen(user, item, unseen_rank=False)
        last = self._item[(self._ptr[user] + count - 1).clamp(min=0)]
        return (count > 0) & (last == item)

    def to(self, device: Any) -> "ItemNegativeSampling":
        """Moves the tables to the device that is sampled on."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self
