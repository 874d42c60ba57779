"""What the store knows and the model does not: popularity, new items, hidden ones."""

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
        self._last = self._last_hidden = 0
        self.num_feedback = 0  #: Rows that were followed.
        self.hidden: frozenset[str] = frozenset()
        self._hidden_index: tuple[Snapshot, frozenset[str], Tensor] | None = None
        self._taken: dict[str, list[float]] = {}  # Item: count, time of the first.
        self._popularity: tuple[Snapshot, Tensor] | None = None

    def follow(self) -> None:
        """Counts the feedback that came since.

        *Cost:* That of the new rows.
        """
        with self._lock:
            for number, item, time in self.store.since(self._last):
                self._taken.setdefault(item, [0.0, time])[0] += 1.0
                if self._popularity is not None:
                    snapshot, popularity = self._popularity
                    index = snapshot.item_index(item)
                    if index is not None:
                        popularity[index] += 1.0
                self._last, self.num_feedback = number, self.num_feedback + 1

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
        """Whether the model or any feedback names an item."""
        if snapshot.item_index(item) is None:
            self.follow()
        return snapshot.item_index(item) is not None or item in self._taken

    def popular(
        self, snapshot: Snapshot, k: int, exclude: Tensor, names: Container[str] = ()
    ) -> Listed:
        r"""The items taken most often of late: :obj:`snapshot.popularity`, and one for
        each feedback.

        Args:
            snapshot (Snapshot): The model.
            k (int): How many.
            exclude (torch.Tensor): Items left out, as the model's indices.
            names (container, optional): Items left out that it does not know.
                (default: :obj:`()`)

        *Cost:* O(I).
        """
        with self._lock:
            if self._popularity is None or self._popularity[0] is not snapshot:
                popularity = snapshot.popularity.clone()
                for item, (count, _) in self._taken.items():
                    index = snapshot.item_index(item)
                    if index is not None:
                        popularity[index] += count
                self._popularity = (snapshot, popularity)
            score = self._popularity[1].clone()
        return self._merge(snapshot, score, 0, k, exclude, names)

    def latest(self, snapshot: Snapshot, k: int, exclude: Tensor) -> Listed:
        """The items first taken last: those the model does not know yet, then its own
        by :obj:`snapshot.first_time`, if it has times.

        *Cost:* O(I).
        """
        if snapshot.first_time is None:
            score = torch.full_like(snapshot.popularity, -torch.inf)
        else:
            score = snapshot.first_time.masked_fill(
                snapshot.first_time == torch.inf, -torch.inf
            )
        return self._merge(snapshot, score, 1, k, exclude, ())

    def _merge(
        self,
        snapshot: Snapshot,
        score: Tensor,
        column: int,
        k: int,
        exclude: Tensor,
        names: Container[str],
    ) -> Listed:
        """The largest scores of the model's items and of new ones."""
        score[exclude] = -torch.inf
        value, index = score.topk(min(k, score.numel()))
        found = [
            (snapshot.item_ids[i], s)
            for i, s in zip(index.tolist(), value.tolist(), strict=True)
            if s > float("-inf")
        ]
        hidden, taken = self.hidden, list(self._taken.items())
        new = [
            (item, row[column])
            for item, row in taken
            if item not in names
            and item not in hidden
            and snapshot.item_index(item) is None
        ]
        return sorted(found + new, key=lambda entry: -entry[1])[:k]
