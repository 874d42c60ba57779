"""One version of a model, as requests see it from their start to their end."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ltgnn_pyg.retrieval import Index
from ltgnn_pyg.runs.run_folder import INDEX, WEIGHTS, RunFolder
from ltgnn_pyg.scorers import FoldIn
from ltgnn_pyg.serving.tables import ensure_tables, open_tables
from ltgnn_pyg.serving.versions import check, checksum

NUM_IDS = 2**16  #: Raw ids whose index is kept at hand.


class Snapshot:
    """A trained model that lists are made of. Nothing of it changes.

    Args:
        run (RunFolder): The model, whose folder also holds the tables of
            :func:`~ltgnn_pyg.serving.tables.write_tables`.
        version (str): Its name.

    Attributes:
        rowptr, col (torch.Tensor): What each user has taken.
        item_degree, popularity, first_time (torch.Tensor): See
            :func:`~ltgnn_pyg.serving.tables.make_tables`.

    *Cost:* One look at the vectors; tables are mapped, and shared by the processes that
    serve them. Of the ids, 8 bytes each are a process's own.
    """

    def __init__(self, run: RunFolder, version: str) -> None:
        self.version = version
        vectors = run.vectors
        self.vectors = vectors.to(vectors.dtype)  # Half precision is widened once.
        tables = open_tables(run.path)
        self.rowptr, self.col = tables["rowptr"], tables["col"]
        self.item_degree, self.popularity = tables["item_degree"], tables["popularity"]
        self.first_time = tables.get("first_time")
        self._norms = {"user": tables["user_norm"], "item": tables["item_norm"]}
        alpha = run.config.get("model", {}).get("settings", {}).get("alpha", 0.0)
        self.fold_in = FoldIn(self.vectors, self.item_degree, alpha=alpha)
        index = run.path / INDEX
        self.index = Index.load(index) if index.exists() else None
        self.user_ids, self.item_ids = run.user_ids, run.item_ids
        self.user_index = lru_cache(NUM_IDS)(self.user_ids.index)
        self.item_index = lru_cache(NUM_IDS)(self.item_ids.index)

    @classmethod
    def of_version(cls, folder: Path) -> "Snapshot":
        """Opens what :func:`~ltgnn_pyg.serving.publish` wrote, if it is whole.

        Raises:
            ValueError: If it is not.
        """
        check(folder)
        return cls(RunFolder.open(folder), folder.name)

    @classmethod
    def of_run(cls, folder: Path) -> "Snapshot":
        """Opens the folder of a run, whose version is the checksum of its weights."""
        run = RunFolder.open(folder)
        ensure_tables(run)
        return cls(run, checksum(folder / WEIGHTS)[:12])

    def warm(self) -> None:
        """Takes the first, slow, queries on itself."""
        for user in range(min(self.vectors.num_users, 3)):
            self.search(self.vectors.user[user], 10, self.seen(user))

    def seen(self, user: int | None) -> Tensor:
        """The items a user has taken, none of nobody."""
        if user is None:
            return self.col[:0].long()
        low, high = self.rowptr[user : user + 2].tolist()
        return self.col[low:high].long()

    def folded(self, liked: Tensor, user: int | None) -> Tensor:
        """The vector of somebody who has liked items since.

        Args:
            liked (torch.Tensor): The items.
            user (int, optional): Who, if the model knows them.

        *Cost:* O(D) an item.
        """
        items = torch.tensor([0, liked.numel()]), liked
        if user is None:
            return self.fold_in(items)[0]
        seen = self.seen(user)
        rows = torch.tensor([0, seen.numel()]), seen
        return self.fold_in(items, torch.tensor([user]), rows)[0]

    def search(self, query: Tensor, k: int, exclude: Tensor) -> tuple[Tensor, Tensor]:
        """The best items for the vector of a user, without some.

        Args:
            query (torch.Tensor): The vector :obj:`[D]`.
            k (int): How many.
            exclude (torch.Tensor): The items left out.

        Returns:
            Scores and items, fewer than :obj:`k` if there are no more.

        *Cost:* O(I D), less with an index that :obj:`ltgnn index` built.
        """
        if self.index is not None:
            rowptr = torch.tensor([0, exclude.numel()])
            row = query.unsqueeze(0)
            scores, items = self.index.search(row, k, (rowptr, exclude))
            found = items[0] >= 0
            return scores[0][found], items[0][found]
        item, bias = self.vectors.item, self.vectors.item_bias
        score = item.mv(query) if bias is None else torch.addmv(bias, item, query)
        return _best(score, k, exclude)

    def similar(
        self, side: str, query: Tensor, k: int, exclude: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The users or items whose vectors have the largest cosine with a vector.

        Args:
            side (str): :obj:`"user"` or :obj:`"item"`.
            query (torch.Tensor): The vector :obj:`[D]`.
            k (int): How many.
            exclude (torch.Tensor): Those left out.

        *Cost:* O(U D) or O(I D).
        """
        rows = self.vectors.user if side == "user" else self.vectors.item
        norm = (self._norms[side] * query.norm()).clamp(min=1e-12)
        return _best(rows.mv(query) / norm, k, exclude)

    def cosine(self, items: list[int | None]) -> list[list[float | None]]:
        """The cosines between some items, :obj:`None` for those it does not know.

        *Cost:* O(K^2 D).
        """
        known = [i for i in items if i is not None]
        unit = normalize(self.vectors.item[known], dim=1)
        rows = (unit @ unit.t()).tolist()
        place = {i: at for at, i in enumerate(known)}
        return [
            [None if i is None or j is None else rows[place[i]][place[j]]
             for j in items]
            for i in items
        ]  # fmt: skip


def _best(score: Tensor, k: int, exclude: Tensor) -> tuple[Tensor, Tensor]:
    """The largest scores and where they are, but for some."""
    score[exclude] = -torch.inf
    value, index = score.topk(min(k, score.numel()))
    found = value > -torch.inf
    return value[found], index[found]
