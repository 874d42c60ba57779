"""From a user, or what somebody has just liked, to a list that is never short."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ltgnn_pyg.serving.feedback_store import NEUTRAL
from ltgnn_pyg.serving.live import Live
from ltgnn_pyg.serving.snapshot import Snapshot

CANDIDATES = 200  #: Items that a list is made diverse from.


class Entry(NamedTuple):
    """An item of a list, and where it comes from."""

    item: str
    score: float
    source: str


def recommend(
    snapshot: Snapshot,
    live: Live,
    k: int,
    *,
    user: str | None = None,
    feedback: Sequence[tuple[str, str]] = (),
    relevance: float = 1.0,
) -> list[Entry]:
    r"""A list from the first source that has one, filled up from the next:

    * :obj:`own`: the user's vector, if the model was trained on any of their items;
    * :obj:`fold-in`: the vector moved by (or, for a new user, made of) what they have
      liked since, see :class:`~ltgnn_pyg.retrieval.FoldIn`;
    * :obj:`popular`: what is taken most often of late.

    What a user has taken, or gave any feedback on, does not come back.

    Args:
        snapshot (Snapshot): The model.
        live (Live): What came after it.
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
    seen = snapshot.seen(index)
    query, source, touched = None, "own", seen
    if feedback:
        known = {raw: snapshot.item_index(raw) for _, raw in feedback}
        touched = torch.cat([seen, _long(i for i in known.values() if i is not None)])
        old = {None, *seen.tolist()}
        liked = {known[raw]: None for kind, raw in feedback if kind not in NEUTRAL}
        fresh = [i for i in liked if i not in old]
        if fresh:
            query, source = snapshot.folded(_long(fresh), index), "fold-in"
    if query is None and index is not None and seen.numel() > 0:
        query = snapshot.vectors.user[index]
    exclude = torch.cat([touched, live.hidden_items(snapshot)])
    entries: list[Entry] = []
    if query is not None:
        if relevance < 1.0:
            score, item = snapshot.search(query, max(k, CANDIDATES), exclude)
            order = mmr(snapshot.vectors.item[item], score, k, relevance)
            score, item = score[order], item[order]
        else:
            score, item = snapshot.search(query, k, exclude)
        entries = [
            Entry(snapshot.item_ids[i], s, source)
            for i, s in zip(item.tolist(), score.tolist(), strict=True)
        ]
        exclude = torch.cat([exclude, item])
    if len(entries) < k:
        names = {raw for _, raw in feedback}
        more = live.popular(snapshot, k - len(entries), exclude, names)
        entries += [Entry(item, score, "popular") for item, score in more]
    return entries


def mmr(item: Tensor, score: Tensor, k: int, relevance: float) -> Tensor:
    r"""Orders candidates by maximal marginal relevance: the next is

    .. math::
        \mathrm{arg\,max}_i \; \lambda \bar{s}_i - (1 - \lambda) \max_{j \in S}
        \cos(\mathbf{z}_i, \mathbf{z}_j)

    with scores :math:`\bar{s}` from 0 to 1.

    *Cost:* O(k C D) of C candidates.
    """
    if score.numel() == 0:
        return _long([])
    unit = normalize(item, dim=1)
    score = (score - score.min()) / (score.max() - score.min()).clamp(min=1e-12)
    near, left = torch.zeros_like(score), torch.ones_like(score, dtype=torch.bool)
    order = []
    for _ in range(min(k, score.numel())):
        gain = relevance * score - (1.0 - relevance) * near
        best = int(gain.masked_fill(~left, -torch.inf).argmax())
        order.append(best)
        left[best] = False
        cosine = unit @ unit[best]
        near = cosine if len(order) == 1 else torch.maximum(near, cosine)
    return _long(order)


def _long(values: Iterable[int | None]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.long)
