"""One version of a model, as requests see it from their start to their end."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ltgnn_pyg.nn.models.pretrained import WEIGHTS
from ltgnn_pyg.retrieval import Index
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.runs.run_folder import INDEX
from ltgnn_pyg.scorers import Query, Vectors
from ltgnn_pyg.serving.tables import ensure_tables, open_tables
from ltgnn_pyg.serving.versions import check, checksum

NUM_IDS = 2**16  #: Raw ids whose index is kept at hand.


class NoVectors(ValueError):
    """The answer of a model that has no vectors to one who asks for them."""


class Snapshot:
    """A trained model that lists are made of. Nothing of it changes.

    Args:
        run (RunFolder): The model, whose folder also holds the tables of
            :func:`~ltgnn_pyg.serving.tables.write_tables`.
        version (str): Its name.

    Attributes:
        taken, hidden (tuple): The items that each user has taken, and those that no
            list of a user shows, :obj:`(rowptr, col)`.
        popularity, first_time (torch.Tensor): See
            :func:`~ltgnn_pyg.serving.tables.make_tables`.

    *Cost:* One look at the vectors; tables are mapped, and shared by the processes that
    serve them. Of the ids, 8 bytes each are a process's own.
    """

    def __init__(self, run: RunFolder, version: str) -> None:
        self.version = version
        self.scorer = run.scorer
        vectors = self.scorer.as_vectors
        #: The vectors whose inner products the scores are, if they are.
        self.vectors = None
        if vectors is not None:  # Half precision is widened once.
            self.vectors = vectors.to(vectors.dtype)
        tables = open_tables(run.path)
        self.taken = tables["rowptr"], tables["col"]
        self.hidden = self.taken
        if "hidden_ptr" in tables:
            self.hidden = tables["hidden_ptr"], tables["hidden_col"]
        self.popularity = tables["popularity"]
        self.first_time = tables.get("first_time")
        self._norms = {side: tables.get(f"{side}_norm") for side in ("user", "item")}
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
        for user in range(min(self.scorer.num_users, 3)):
            self.best(Query(user=torch.tensor([user])), 10, self.hidden_of(user))

    def taken_by(self, user: int | None) -> Tensor:
        """The items a user has taken, none of nobody."""
        return _row(self.taken, user)

    def hidden_of(self, user: int | None) -> Tensor:
        """The items that no list of a user shows, taken or disliked."""
        return _row(self.hidden, user)

    def best(self, query: Query, k: int, exclude: Tensor) -> tuple[Tensor, Tensor]:
        """The best items for a query, without some.

        Args:
            query (Query): One query.
            k (int): The number of items.
            exclude (torch.Tensor): The items left out.

        Returns:
            Scores and items, fewer than :obj:`k` if there are no more.

        *Cost:* That of the scores of all items, less with an index that :obj:`ltgnn
        index` built.
        """
        rows = self.scorer.vectors_of(query)
        if rows is None:
            return _best(self.scorer.score(query)[0], k, exclude)
        return self.search(rows[0], k, exclude)

    @property
    def known_vectors(self) -> Vectors:
        """The :attr:`vectors`, which there must be.

        Raises:
            NoVectors: If the scores are no inner products.
        """
        if self.vectors is None:
            raise NoVectors(
                f"Expected a model of vectors (got '{type(self.scorer).__name__}', "
                "which has none); it lists items for users, and no more"
            )
        return self.vectors

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
        vectors = self.known_vectors
        item, bias = vectors.item, vectors.item_bias
        query = query.to(item.dtype)
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
        vectors, norms = self.known_vectors, self._norms[side]
        assert norms is not None
        rows = vectors.user if side == "user" else vectors.item
        norm = (norms * query.norm()).clamp(min=1e-12)
        return _best(rows.mv(query) / norm, k, exclude)

    def cosine(self, items: list[int | None]) -> list[list[float | None]]:
        """The cosines between some items, :obj:`None` for those it does not know.

        *Cost:* O(K^2 D).
        """
        known = [i for i in items if i is not None]
        unit = normalize(self.known_vectors.item[known], dim=1)
        rows = (unit @ unit.t()).tolist()
        place = {i: at for at, i in enumerate(known)}
        return [
            [None if i is None or j is None else rows[place[i]][place[j]]
             for j in items]
            for i in items
        ]  # fmt: skip


def _row(rows: tuple[Tensor, Tensor], user: int | None) -> Tensor:
    rowptr, col = rows
    if user is None:
        return col[:0].long()
    low, high = rowptr[user : user + 2].tolist()
    return col[low:high].long()


def _best(score: Tensor, k: int, exclude: Tensor) -> tuple[Tensor, Tensor]:
    """The largest scores and where they are, but for some."""
    score[exclude] = -torch.inf
    value, index = score.topk(min(k, score.numel()))
    found = value > -torch.inf
    return value[found], index[found]
