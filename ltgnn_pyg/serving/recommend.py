"""The way from a user, or from fresh likes, to a list that is never short."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ltgnn_pyg.retrieval.rerank import Candidates, mmr
from ltgnn_pyg.scorers import Query
from ltgnn_pyg.serving.feedback_counts import FeedbackCounts
from ltgnn_pyg.serving.feedback_store import NEUTRAL
from ltgnn_pyg.serving.snapshot import Snapshot

CANDIDATES = 200  #: Items that a list is made diverse from.


class Entry(NamedTuple):
    """An item of a list, and its source."""

    item: str
    score: float
    source: str


def recommend(
    snapshot: Snapshot,
    counts: FeedbackCounts,
    k: int,
    *,
    user: str | None = None,
    feedback: Sequence[tuple[str, str]] = (),
    relevance: float = 1.0,
) -> list[Entry]:
    r"""A list from the first source that has one, filled up from the next:

    * :obj:`own`: the model's, if it was trained on any of the user's items;
    * :obj:`fold-in`: the model's for the user and (or, of a new user, for) what they
      have liked since, see :class:`~ltgnn_pyg.scorers.Query`, if it can tell;
    * :obj:`popular`: what is taken most often of late.

    What a user has taken or disliked, or gave any feedback on, does not come back.

    Args:
        snapshot (Snapshot): The model.
        counts (FeedbackCounts): The feedback after it.
        k (int): The length of the list.
        user (str, optional): The user. If :obj:`None`, nobody known.
            (default: :obj:`None`)
        feedback (list, optional): Types and items of what they did since.
            (default: :obj:`()`)
        relevance (float, optional): :math:`\lambda` of maximal marginal relevance; at
            1 nothing is traded for diversity. (default: :obj:`1.0`)

    *Cost:* O(I D).
    """
    index = None if user is None else snapshot.user_index(user)
    taken, hidden = snapshot.taken_by(index), snapshot.hidden_of(index)
    known_user = None if index is None else _long([index])
    tries, touched = [], hidden
    if feedback:
        known = {raw: snapshot.item_index(raw) for _, raw in feedback}
        named = _long(i for i in known.values() if i is not None)
        touched = torch.cat([hidden, named])
        old = {None, *taken.tolist()}
        liked = {known[raw]: None for kind, raw in feedback if kind not in NEUTRAL}
        fresh = [i for i in liked if i not in old]
        if fresh:
            items = _long([0, len(fresh)]), _long(fresh)
            tries.append(("fold-in", Query(known_user, items)))
    if taken.numel() > 0:
        tries.append(("own", Query(known_user)))
    exclude = torch.cat([touched, counts.hidden_items(snapshot)])
    entries: list[Entry] = []
    num = k if relevance == 1.0 else max(k, CANDIDATES)
    for source, query in tries:
        try:
            score, item = snapshot.best(query, num, exclude)
        except ValueError:
            if source == "own":
                raise
            continue  # Bare vectors know of no interactions since.
        if relevance < 1.0 and item.numel() > 0:
            found = Candidates(_long([0]), score.unsqueeze(0), item.unsqueeze(0))
            found = mmr(found, snapshot.known_vectors.item, k=k, lam=relevance)
            score, item = found.score[0], found.item[0]
            score, item = score[item >= 0], item[item >= 0]
        entries = [
            Entry(snapshot.item_ids[i], s, source)
            for i, s in zip(item.tolist(), score.tolist(), strict=True)
        ]
        exclude = torch.cat([exclude, item])
        break
    if len(entries) < k:
        names = {raw for _, raw in feedback}
        more = counts.popular(snapshot, k - len(entries), exclude, names)
        entries += [Entry(item, score, "popular") for item, score in more]
    return entries


def _long(values: Iterable[int | None]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.long)
