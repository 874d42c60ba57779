from typing import Any

import torch
from torch import Tensor
from torch_geometric.sampler import NegativeSampling
from torch_geometric.utils import index_sort

from ltgnn_pyg.graph import Numbering
from ltgnn_pyg.sampler.generator import generator_here


class ItemNegativeSampling(NegativeSampling):
    r"""Negative items for user-item pairs: PyG's triplet sampling, made for
    recommendation.

    PyG's :class:`~torch_geometric.sampler.NegativeSampling` draws from all nodes
    of a homogeneous graph, users included, and keeps items that the user has
    seen. Here negatives are items; with :obj:`reject_seen` they follow, exactly,
    the same distribution conditioned on not being seen by the user of the pair.

    Items are drawn uniformly or by popularity, :math:`p_i \propto d_i^{power}`,
    with power 0.75 as in `word2vec <https://arxiv.org/abs/1310.4546>`_. To reject
    seen items takes no second draw: with the masses :math:`m_i`, whole numbers in
    proportion to :math:`p_i`, one target below the mass that the user has not seen
    is drawn, and the item it falls on is found by bisection. With the user's seen
    items :math:`s_0 < s_1 < \ldots` it lies behind

    .. math::
        c = \left| \left\{ t : \sum_{i < s_t} m_i - \sum_{t' < t} m_{s_{t'}}
        \le target \right\} \right|

    of them, so it is the item at :math:`target + \sum_{t < c} m_{s_t}` in the
    cumulative sum of all masses. Masses add up to about :math:`2^{62}`, and sums of
    whole numbers are exact: no seen item, and none that nobody has seen where
    popularity counts, is ever drawn.

    Args:
        num_users (int): The number of users.
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
        disliked (torch.Tensor, optional): Pairs of users and items that these disliked,
            explicit negatives :obj:`[2, num_pairs]`. (default: :obj:`None`)
        disliked_share (float, optional): The probability that a negative of a user who
            disliked something is one of those. (default: :obj:`0.5`)
        generator (torch.Generator, optional): Draws the negatives. If :obj:`None`,
            torch's global generator does. (default: :obj:`None`)
        numbering (Numbering, optional): The numbers of the nodes,
            :obj:`graph.numbering` of a graph that grew. If :obj:`None`, users, then
            items. (default: :obj:`None`)

    Raises:
        ValueError: If arguments contradict each other, an index is no user or
            item, or a user has seen every item.

    *Cost:* O(log d) time a draw with :obj:`reject_seen`, for the :math:`d` items
    the user has seen, and O(log I) by popularity; O(E) memory with
    :obj:`reject_seen`.
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
        disliked: Tensor | None = None,
        disliked_share: float = 0.5,
        generator: torch.Generator | None = None,
        numbering: Numbering | None = None,
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
        if numbering is None:
            numbering = Numbering.of({"user": num_users, "item": num_items})
        if (numbering.count("user"), numbering.count("item")) != (num_users, num_items):
            raise ValueError(
                f"Expected a numbering of {num_users} users and {num_items} items (got "
                f"{numbering.count('user')} and {numbering.count('item')})"
            )
        self.num_users = num_users
        self.numbering = numbering
        self.num_items = num_items
        self.reject_seen = reject_seen
        self.shared = shared
        self.disliked_share = disliked_share
        self.generator = generator
        self._disliked: Tensor | None = None  # The items that users disliked, by user.
        if disliked is not None:
            self._index_disliked(disliked)
        self._cdf: Tensor | None = None  # The mass up to each item, of it and before.
        if edge_index is None:
            return
        user, item = self._indices("edge_index", edge_index)
        if power != 0.0:
            self._cdf = _mass(item, num_items, power).cumsum(0)
        if reject_seen:
            self._index_seen(user, item)

    def _indices(self, name: str, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """The users and items of pairs of nodes, checked."""
        user, item = pairs
        is_of, index = self.numbering.is_of, self.numbering.index
        if not bool(is_of("user", user).all() & is_of("item", item).all()):
            raise ValueError(
                f"Expected '{name}' to lead from users to items, of {self.num_users} "
                f"and {self.num_items} (got nodes {int(user.min())} to "
                f"{int(user.max())} and {int(item.min())} to {int(item.max())}); see "
                "'Graph.pairs'"
            )
        return index("user", user), index("item", item)

    def _index_disliked(self, disliked: Tensor) -> None:
        """Sorts the disliked items of each user."""
        if self.shared or not 0.0 <= self.disliked_share <= 1.0:
            raise ValueError(
                "Expected 'disliked_share' in [0, 1], and negatives that are not "
                f"shared, beside 'disliked' (got {self.disliked_share} and "
                f"shared={self.shared})"
            )
        user, item = self._indices("disliked", disliked)
        user, perm = user.sort(stable=True)
        self._disliked = item[perm]
        self._disliked_ptr = torch._convert_indices_from_coo_to_csr(
            user, self.num_users
        )

    def _index_seen(self, user: Tensor, item: Tensor) -> None:
        """Sorts the seen items of each user and sums the unseen mass before them."""
        key, _ = index_sort(
            user * self.num_items + item, self.num_users * self.num_items
        )
        key = torch.unique_consecutive(key)
        user, item = key // self.num_items, key % self.num_items
        self._ptr = torch._convert_indices_from_coo_to_csr(user, self.num_users)
        self._depth = int(self._ptr.diff().max()).bit_length()
        if self._cdf is None:
            seen = torch.arange(item.numel(), device=item.device) - self._ptr[user]
            self._below = (item - seen).int()
            self._left = self.num_items - self._ptr.diff()
        else:
            mass = self._cdf.diff(prepend=self._cdf.new_zeros(1))[item]
            # The sum over all users may wrap around; its differences are right.
            total = torch.cat([mass.new_zeros(1), mass.cumsum(0)])
            before = total[:-1] - total[self._ptr[user]]
            self._item = item.int()
            self._below = self._cdf[item] - mass - before
            self._left = self._cdf[-1] - (total[self._ptr[1:]] - total[self._ptr[:-1]])
        if int(self._left.min()) < 1:
            raise ValueError(
                f"Expected every user to have an unseen item (got user "
                f"{int(self._left.argmin())}, who has seen all that can be drawn); "
                "drop such users or pass 'reject_seen=False'"
            )

    @property
    def q(self) -> Tensor | None:
        """The probability of each item :obj:`[num_items]`, before seen ones are
        rejected; :obj:`None` if all are alike.
        """
        if self._cdf is None:
            return None
        mass = self._cdf.diff(prepend=self._cdf.new_zeros(1))
        return mass.double() / self._cdf[-1].double()

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
            user = self._uniform(num_samples, torch.device("cpu"), self.num_users)
            return self.numbering.number("user", user)
        return self._number(self._draw(num_samples, torch.device("cpu")))

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
            return self._number(self._draw(amount, src.device)).view(1, -1)
        src = self.numbering.index("user", src)
        user = src if amount == 1 else src.repeat_interleave(amount)
        if self.reject_seen:
            item = self._draw_unseen(user)
        else:
            item = self._draw(user.numel(), src.device)
        if self._disliked is not None:
            item = self._draw_disliked(user, item)
        item = self._number(item)
        return item if amount == 1 else item.view(num_pairs, amount)

    def _number(self, item: Tensor) -> Tensor:
        return self.numbering.number("item", item)

    def _uniform(self, num: int, device: torch.device, high: int) -> Tensor:
        generator = generator_here(self.generator, device)
        return torch.randint(high, (num,), device=device, generator=generator)

    def _target(self, high: Tensor, num: int) -> Tensor:
        """Draws whole numbers in [0, high)."""
        u = torch.rand(
            num,
            dtype=torch.double,
            device=high.device,
            generator=generator_here(self.generator, high.device),
        )
        return torch.minimum((u * high).long(), high - 1)

    def _draw(self, num: int, device: torch.device) -> Tensor:
        if self._cdf is None:
            return self._uniform(num, device, self.num_items)
        target = self._target(self._cdf[-1], num)
        return torch.searchsorted(self._cdf, target, right=True)

    def _draw_unseen(self, user: Tensor) -> Tensor:
        target = self._target(self._left[user], user.numel())
        start, end = self._ptr[user], self._ptr[user + 1]
        low, high = start, end
        last = self._below.numel() - 1
        for _ in range(self._depth):
            mid = (low + high) // 2
            right = (self._below[mid.clamp(max=last)] <= target) & (low < high)
            low, high = torch.where(right, mid + 1, low), torch.where(right, high, mid)
        if self._cdf is None:
            return target + (low - start)
        behind = (low - 1).clamp(min=0)  # The last seen item before.
        mass = self._cdf[self._item[behind].long()] - self._below[behind]
        target += mass.masked_fill_(low == start, 0)
        return torch.searchsorted(self._cdf, target, right=True)

    def _draw_disliked(self, user: Tensor, item: Tensor) -> Tensor:
        """Draws some of the negatives among what their users disliked."""
        disliked = self._disliked
        assert disliked is not None
        start = self._disliked_ptr[user]
        count = self._disliked_ptr[user + 1] - start
        generator = generator_here(self.generator, user.device)
        size, kind = (2, user.numel()), torch.double
        u = torch.rand(size, dtype=kind, device=user.device, generator=generator)
        place = start + (u[1] * count).long()
        own = disliked[place.clamp(max=max(disliked.numel() - 1, 0))]
        return own.where((u[0] < self.disliked_share) & (count > 0), item)

    def to(self, device: Any) -> "ItemNegativeSampling":
        """Moves the tables to the device that is sampled on."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self


def _mass(item: Tensor, num_items: int, power: float) -> Tensor:
    """Whole numbers in proportion to the popularity of items, of sum 2^62."""
    degree = torch.bincount(item, minlength=num_items).double()
    weight = degree.pow(power).masked_fill_(degree == 0, 0.0)
    total = weight.sum()
    if not 0.0 < total < torch.inf:
        raise ValueError(
            f"Expected pairs in 'edge_index' and a 'power' that can be computed (got "
            f"{item.numel()} pairs and {power}); pass the training pairs"
        )
    mass = (weight / total * 2.0**62).round().long()
    return mass.clamp_(min=1).masked_fill_(weight == 0, 0)
