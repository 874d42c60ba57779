"""The ranks of the held-out items of every user, and what follows from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.scorers import Scorer, top_k

DRAWS = 10_000  #: Of a bootstrap.
#: The fields that tell a line of models.py from others.
KEY = ("dataset", "order", "model", "setting", "seed", "budget", "embedding_dim",
       "device")  # fmt: skip
TYPES = {"user": np.int32, "item": np.int32, "rank": np.uint8, "users": np.int32}


@dataclass(frozen=True)
class Ranks:
    """The ranks of held-out pairs.

    Attributes:
        user (Tensor): The user of each pair, as a row of `users` [num_pairs].
        item (Tensor): Its item, counted from 0 [num_pairs].
        rank (Tensor): Its place in the user's list, from 0; k if it is not in it.
        users (Tensor): The users that have a held-out item.
        lists (Tensor): Their lists [num_users, k].
    """

    user: Tensor
    item: Tensor
    rank: Tensor
    users: Tensor
    lists: Tensor

    @classmethod
    def of_lists(
        cls, user: Tensor, item: Tensor, users: Tensor, lists: Tensor
    ) -> "Ranks":
        """The places of pairs in the lists of their users."""
        found = lists[user] == item.unsqueeze(1)
        rank = torch.where(found.any(1), found.int().argmax(1), lists.size(1))
        return cls(user, item, rank, users, lists)

    def save(self, path: Path) -> None:
        """Writes all but the lists."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {k: getattr(self, k).numpy().astype(t) for k, t in TYPES.items()}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Ranks":
        """Reads what :meth:`save` wrote."""
        saved = {k: torch.from_numpy(v).long() for k, v in np.load(path).items()}
        return cls(**saved, lists=torch.empty(0, dtype=torch.long))

    @staticmethod
    def path(lines: Path, line: dict[str, Any]) -> Path:
        """The file of the ranks of a line, beside the file of all lines."""
        words = (str(line[key]).replace("/", "_") for key in KEY)
        return lines.with_suffix(".ranks") / ("-".join(words) + ".npz")

    def recall(self, k: int = 20, pairs: Tensor | None = None) -> Tensor:
        """The share of each user's held-out items, of some pairs if given, that is
        among the first k; NaN for users without one.
        """
        weight = torch.ones(len(self.rank)) if pairs is None else pairs
        hit = (self.rank < k).double() * weight
        return self._sum(hit) / self._sum(weight.double())

    def ndcg(self, k: int = 20) -> Tensor:
        """The discounted gain of each user's first k over that of the best list."""
        gain = 1.0 / (torch.arange(k).double() + 2.0).log2()
        found = gain[self.rank.clamp(max=k - 1)] * (self.rank < k)
        most = self._sum(torch.ones_like(found)).long().clamp(max=k)
        return self._sum(found) / gain.cumsum(0)[most - 1]

    def _sum(self, value: Tensor) -> Tensor:
        return value.new_zeros(len(self.users)).index_add_(0, self.user, value)


def rank_pairs(
    scorer: Scorer, test: Interactions, exclude: Interactions, k: int = 20
) -> Ranks:
    """The ranks of held-out pairs by a scorer."""
    users, row = test.user.unique(return_inverse=True)
    lists = top_k(scorer, k, user=users, exclude=exclude)[1]
    return Ranks.of_lists(row, test.item, users, lists.cpu())


def by_fifths(ranks: Ranks, known: Interactions) -> dict[str, list[float]]:
    """Recall and NDCG by fifths of the users and of the held-out items, ordered by
    their number of known interactions, and the largest number in each.
    """
    user = torch.bincount(known.user, minlength=known.num_users)[ranks.users]
    item = torch.bincount(known.item, minlength=known.num_items)[ranks.item]
    of_user, of_item = _fifths(user), _fifths(item)
    recall, ndcg = ranks.recall(), ranks.ndcg()
    each = [ranks.recall(pairs=of_item == n) for n in range(5)]
    return {
        "recall_by_user": [float(recall[of_user == n].mean()) for n in range(5)],
        "ndcg_by_user": [float(ndcg[of_user == n].mean()) for n in range(5)],
        "recall_by_item": [float(recall.nanmean()) for recall in each],
        "most_of_user": [int(user[of_user <= n].max()) for n in range(5)],
        "most_of_item": [int(item[of_item <= n].max()) for n in range(5)],
    }


def _fifths(value: Tensor) -> Tensor:
    """The fifth that each of some numbers is in; equal ones are in the same."""
    place = torch.searchsorted(value.sort().values, value)
    return (place * 5 // len(value)).clamp(max=4)


def compare(one: Tensor, other: Tensor, seed: int = 0) -> dict[str, Any]:
    """The mean difference of two metrics over the same users, its 95 % confidence
    interval by bootstrap, and the p-value of a sign-flip test.
    """
    rng = np.random.default_rng(seed)
    difference = (one - other).numpy()
    num, mean = len(difference), difference.mean()
    # A bootstrap draws each user a Poisson number of times, nearly; a flip is a sign.
    draws = np.empty((2, DRAWS))
    for start in range(0, DRAWS, 100):
        count = rng.poisson(1.0, (100, num))
        draws[0, start : start + 100] = count @ difference / count.sum(1)
        sign = rng.integers(0, 2, (100, num), dtype=np.int8) * 2 - 1
        draws[1, start : start + 100] = sign @ difference / num
    low, high = np.quantile(draws[0], [0.025, 0.975])
    p = (1 + (np.abs(draws[1]) >= abs(mean)).sum()) / (1 + DRAWS)
    return {"difference": float(mean), "interval": [float(low), float(high)],
            "p": float(p)}  # fmt: skip
