"""The lists of users of whom only a few interactions are known."""

from typing import Any

import torch
from ltgnn_pyg.graph.adjacency import csr
from ranks import Ranks
from torch import Tensor
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.scorers import FoldIn, Vectors

LENGTHS = (1, 2, 5)  #: The numbers of known interactions.
NUM_KNOWN = 5  #: Users have so many at least, and a held-out item.
NUM_USERS = 3000  #: At most.


def cut_history(
    scorer: Any, known: Interactions, test: Interactions, alpha: float = 0.0
) -> dict[str, dict[str, float]]:
    """Recall and NDCG at 20 of users who are new but for some of their interactions,
    drawn by a seed: vectors are folded in, filters score the row. Items that the user
    has taken otherwise are not ranked.
    """
    generator = torch.Generator().manual_seed(0)
    count = torch.bincount(known.user, minlength=known.num_users)
    user = test.user.unique()
    user = user[count[user] >= NUM_KNOWN]
    perm = torch.randperm(len(user), generator=generator)
    user = user[perm[:NUM_USERS]].sort().values
    place = torch.full((known.num_users,), -1)
    place[user] = torch.arange(len(user))
    (row, item), (held_row, held_item) = (
        torch.stack([place[part.user], part.item])[:, place[part.user] >= 0]
        for part in (known, test)
    )
    # The first ones of each user in a random order.
    order = torch.randperm(len(row), generator=generator)
    order = order[row[order].argsort(stable=True)]
    row, item = row[order], item[order]
    rank = torch.arange(len(row)) - index2ptr(row, len(user))[row]
    out = {}
    for length in LENGTHS:
        first = rank < length
        ptr = index2ptr(row[first], len(user))
        score = _scores(scorer, known, ptr, item[first], alpha)
        score[row, item] = -torch.inf
        lists = score.topk(20).indices
        ranks = Ranks.of_lists(held_row, held_item, user, lists)
        out[str(length)] = {
            "recall@20": float(ranks.recall().mean()),
            "ndcg@20": float(ranks.ndcg().mean()),
        }
    return out


def _scores(
    scorer: Any, known: Interactions, ptr: Tensor, item: Tensor, alpha: float
) -> Tensor:
    if not isinstance(scorer, Vectors):
        rows = csr(ptr, item, torch.ones(len(item)), known.num_items)
        return scorer.filter_rows(rows)
    scorer = scorer.to("cpu")
    degree = torch.bincount(known.item, minlength=known.num_items).float()
    user = FoldIn(scorer, degree, alpha)((ptr, item))
    users = Vectors(user, scorer.item, scorer.item_bias)
    return users.score(torch.arange(users.num_users))
