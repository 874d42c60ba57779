"""Popularity, new items and hidden ones: the part of the store no model knows."""

import threading
from collections.abc import Container

import torch
from torch import Tensor

from ltgnn_pyg.serving.feedback_store import FeedbackStore
from ltgnn_pyg.serving.snapshot import Snapshot

Listed = list[tuple[str, float]]  #: Raw ids and scores, the best first.


class FeedbackCounts:
    """Follows a :class:`~ltgnn_pyg.serving.feedback_store.FeedbackStore`.

    Args:
        store (FeedbackStore): The store.
    """

    def __init__(self, store: FeedbackStore) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._last = self._last_moved = self._last_hidden = 0
        self.num_feedback = 0  #: Rows that were followed.
        self.hidden: frozenset[str] = frozenset()
        self._hidden_index: tuple[Snapshot, frozenset[str], Tensor] | None = None
        self._named: set[str] = set()  # Items of any feedback.
        self._taken: dict[str, tuple[int, float]] = {}  # Users, time of the first.
        self._popularity: tuple[Snapshot, Tensor] | None = None

    def follow(self) -> None:
        """Counts the feedback that came since: users an item, not rows, and none whose
        type is neutral.

        *Cost:* That of the new rows.
        """
        with self._lock:
            moved = self.store.moved_since(self._last_moved)
            if rows := self.store.since(self._last):
                stop = rows[-1][0]
                for item, count, first in self.store.takers_since(self._last, stop):
                    before, _ = self._taken.get(item, (0, first))
                    self._taken[item] = before + count, first
                    self._add(item, count)
                self._named.update(item for _, item, _ in rows)
                self._last, self.num_feedback = stop, self.num_feedback + len(rows)
            for number, item, first in moved:
                if item in self._taken:
                    self._taken[item] = self._taken[item][0], first
                self._last_moved = number

    def _add(self, item: str, count: int) -> None:
        """Counts new users of an item."""
        if self._popularity is not None:
            snapshot, popularity = self._popularity
            index = snapshot.item_index(item)
            if index is not None:
                popularity[index] += count

    def follow_hidden(self) -> None:
        """Hides what was hidden since.

        *Cost:* A look that finds nothing, or the new rows.
        """
        if rows := self.store.hidden_since(self._last_hidden):
            with self._lock:
                hidden = set(self.hidden)
                for _, item, is_hidden in self.store.hidden_since(self._last_hidden):
                    (hidden.add if is_hidden else hidden.discard)(item)
                self.hidden = frozenset(hidden)
                self._last_hidden = rows[-1][0]

    def hidden_items(self, snapshot: Snapshot) -> Tensor:
        """The hidden items that a model knows, as its indices."""
        known, hidden = self._hidden_index, self.hidden
        if known is None or known[0] is not snapshot or known[1] is not hidden:
            index = [snapshot.item_index(raw) for raw in hidden]
            found = torch.tensor([i for i in index if i is not None], dtype=torch.long)
            known = self._hidden_index = (snapshot, hidden, found)
        return known[2]

    def is_known(self, item: str, snapshot: Snapshot) -> bool:
        """True if the model or any feedback names an item."""
        if snapshot.item_index(item) is None:
            self.follow()
        return snapshot.item_index(item) is not None or item in self._named

    def popular(
        self, snapshot: Snapshot, k: int, exclude: Tensor, names: Container[str] = ()
    ) -> Listed:
        r"""The items taken most often of late: :obj:`snapshot.popularity`, and one for
        each user whose feedback took it.

        Args:
            snapshot (Snapshot): The model.
            k (int): The length of the list.
            exclude (torch.Tensor): Items left out, as the model's indices.
            names (container, optional): Items left out that it does not know.
                (default: :obj:`()`)

        *Cost:* O(I).
        """
        with self._lock:
            if self._popularity is None or self._popularity[0] is not snapshot:
                self._popularity = snapshot, snapshot.popularity.clone()
                for item, (count, _) in self._taken.items():
                    self._add(item, count)
            score = self._popularity[1].clone()
        new = [(item, float(count)) for item, (count, _) in self._new(snapshot, names)]
        found = _largest(snapshot, score, k, exclude)
        return sorted(found + new, key=lambda entry: -entry[1])[:k]

    def latest(self, snapshot: Snapshot, k: int, exclude: Tensor) -> Listed:
        """The items first taken last: those the model does not know yet, in seconds,
        then its own by :obj:`snapshot.first_time`, in the unit of its interactions, if
        it has times.

        *Cost:* O(I).
        """
        new = [(item, first) for item, (_, first) in self._new(snapshot, ())]
        found = sorted(new, key=lambda entry: -entry[1])[:k]
        if snapshot.first_time is not None and len(found) < k:
            time = snapshot.first_time
            time = time.masked_fill(time == torch.inf, -torch.inf)
            found += _largest(snapshot, time, k - len(found), exclude)
        return found

    def _new(
        self, snapshot: Snapshot, names: Container[str]
    ) -> list[tuple[str, tuple[int, float]]]:
        """The items taken since that the model does not know, but for some."""
        hidden, taken = self.hidden, list(self._taken.items())
        return [
            (item, row)
            for item, row in taken
            if item not in names
            and item not in hidden
            and snapshot.item_index(item) is None
        ]


def _largest(snapshot: Snapshot, score: Tensor, k: int, exclude: Tensor) -> Listed:
    """The largest scores of the model's items."""
    score[exclude] = -torch.inf
    value, index = score.topk(min(k, score.numel()))
    return [
        (snapshot.item_ids[i], s)
        for i, s in zip(index.tolist(), value.tolist(), strict=True)
        if s > float("-inf")
    ]
