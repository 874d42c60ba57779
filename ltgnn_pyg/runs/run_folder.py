"""The folder of a scorer: what is served, evaluated and exported."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from torch import Tensor

from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.datasets.replace_file import replace_file, replace_text
from ltgnn_pyg.nn.models.pretrained import (
    CONFIG,
    PREFIX,
    WEIGHTS,
    read_config,
    read_tensors,
)
from ltgnn_pyg.runs.ids import Ids
from ltgnn_pyg.runs.pack import moved, pack, unpack
from ltgnn_pyg.scorers import Scorer, Vectors

FORMAT = 2  #: Of what is written here.
IDS, INTERACTIONS = "ids.parquet", "interactions.parquet"
INDEX = "index"  #: Of :class:`~ltgnn_pyg.retrieval.Index`, if one was built.
PARTS = ("train", "val", "test", "disliked")
VALUES = ("time", "rating", "weight", "behavior")  #: One a pair, where there are.
COUNTS = {"num_users", "num_items", "order"}  #: Of the interactions.


@dataclass(frozen=True)
class RunFolder:
    """A scorer on disk, opened: a trained model, a filter, a blend.

    ============================ ==================================================
    :obj:`config.json`           the scorer; settings of model, training and data;
                                 versions
    :obj:`model.safetensors`     the tensors of the scorer as :obj:`scorer.NAME`, and
                                 those of the model as :obj:`model.NAME`
    :obj:`ids.parquet`           column :obj:`id`: raw ids as strings, in the order of
                                 the nodes, users first
    :obj:`interactions.parquet`  :obj:`user`, :obj:`item` (indices from 0), :obj:`part`
                                 (0 training, 1 validation, 2 test, 3 disliked), and
                                 :obj:`time`, :obj:`rating`, :obj:`weight` and
                                 :obj:`behavior` where there are
    ============================ ==================================================

    beside :obj:`metrics.jsonl` and the checkpoint of :func:`~ltgnn_pyg.fit`. Tables
    are mapped into memory, and shared by the processes that open them.

    Args:
        path (pathlib.Path): The folder, see :meth:`open` and :meth:`write`.
        config (dict): What :obj:`config.json` holds.
    """

    path: Path
    config: dict[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """Opens a folder.

        Args:
            path (str): The folder.

        Raises:
            ValueError: If there is no finished run in it.

        *Cost:* O(1): files are read when they are asked for.
        """
        folder = Path(path)
        for name in (CONFIG, WEIGHTS, IDS, INTERACTIONS):
            if not (folder / name).is_file():
                raise ValueError(
                    f"Expected a finished run in '{folder}' (got no '{name}'); train "
                    "one, or finish it with --resume"
                )
        config = read_config(folder / CONFIG)
        if config.get("format") != FORMAT:
            raise ValueError(
                f"Expected a run of format {FORMAT} in '{folder}', which this version "
                f"of 'ltgnn_pyg' writes (got {config.get('format')!r}); train it anew"
            )
        counts = config.get("interactions")
        if not isinstance(counts, dict) or not counts.keys() >= COUNTS:
            raise ValueError(
                f"Expected {sorted(COUNTS)} as 'interactions' in '{folder / CONFIG}' "
                f"(got {counts}); train anew, or take a copy"
            )
        return cls(folder, config)

    @classmethod
    def write(
        cls,
        path: str | os.PathLike[str],
        scorer: Scorer,
        split: Split,
        config: dict[str, Any],
        model: torch.nn.Module | None = None,
    ) -> "RunFolder":
        """Writes a scorer, each file all or nothing, the configuration last.

        Args:
            path (str): The folder, made if need be.
            scorer (Scorer): What scores, with all that it needs for new users.
            split (Split): The interactions; training and validation part are known,
                and never recommended.
            config (dict): Settings, for :obj:`config.json`.
            model (torch.nn.Module, optional): Whose parameters and buffers go along.
                (default: :obj:`None`)

        Raises:
            ValueError: If scorer and interactions are not of as many users and items,
                or the scorer is of a class of your own.

        *Cost:* One write of the tables.
        """
        folder, train = Path(path), split.train
        size = train.num_users, train.num_items
        if size != (scorer.num_users, scorer.num_items):
            raise ValueError(
                f"Expected a scorer of {size[0]} users and {size[1]} items, as the "
                f"interactions have (got {scorer.num_users} and {scorer.num_items})"
            )
        tensors: dict[str, Tensor] = {}
        plain = pack(scorer, "scorer", tensors)
        folder.mkdir(parents=True, exist_ok=True)
        if model is not None:
            tensors |= {PREFIX + k: v for k, v in model.state_dict().items()
                        if isinstance(v, Tensor)}  # fmt: skip
        # Copies, as tensors that share numbers are refused.
        kept = torch.contiguous_format
        tensors = {
            k: v.detach().cpu().clone(memory_format=kept) for k, v in tensors.items()
        }
        replace_file(folder / WEIGHTS, lambda to: save_file(tensors, to))
        ids = pa.table({"id": pa.array([*_raw(train, "user"), *_raw(train, "item")])})
        replace_file(folder / IDS, lambda to: pq.write_table(ids, to))
        table = _interactions_table(split)
        replace_file(folder / INTERACTIONS, lambda to: pq.write_table(table, to))
        counts: dict[str, Any] = {
            "num_users": size[0],
            "num_items": size[1],
            "order": split.order,
        }
        if train.behaviors:
            counts["behaviors"] = list(train.behaviors)
        if train.time_unit is not None:
            counts["time_unit"] = train.time_unit
        config = {"format": FORMAT, "scorer": plain, **config, "interactions": counts}
        text = json.dumps(config, indent=1) + "\n"
        replace_text(folder / CONFIG, text)
        return cls(folder, config)

    @cached_property
    def scorer(self) -> Scorer:
        """The scorer, mapped into memory.

        Raises:
            ValueError: If the files are not as they were written.
        """
        tensors = read_tensors(self.path / WEIGHTS, "scorer.")
        scorer, size = unpack(self.config.get("scorer"), tensors), self._size
        try:
            found = scorer.num_users, scorer.num_items
        except AttributeError as error:
            raise ValueError(
                f"Expected the scorer in '{self.path / CONFIG}' as it was written "
                f"(got: {error}); train anew, or take a copy"
            ) from error
        if found != size:
            raise ValueError(
                f"Expected a scorer of {size[0]} users and {size[1]} items in "
                f"'{self.path}' (got {found[0]} and {found[1]}); train anew, or take a "
                "copy"
            )
        known: Scorer = scorer
        return known

    def scorer_on(self, device: torch.device) -> Scorer:
        """The scorer on a device; on the CPU, mapped into memory."""
        if device.type == "cpu":
            return self.scorer
        scorer: Scorer = moved(self.scorer, device)
        return scorer

    @property
    def vectors(self) -> Vectors:
        """The vectors of users and items whose inner products the scores are.

        Raises:
            ValueError: If the scores are of another kind.
        """
        vectors = self.scorer.as_vectors
        if vectors is None:
            raise ValueError(
                f"Expected a run whose scores are inner products of vectors (got "
                f"'{self.path}' of '{type(self.scorer).__name__}', which has none); "
                "evaluate it, list by it and serve it, or train a model alone"
            )
        return vectors

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors of the model, by name; none if they were not written."""
        found = read_tensors(self.path / WEIGHTS, PREFIX)
        return {name.removeprefix(PREFIX): t for name, t in found.items()}

    @cached_property
    def _ids(self) -> pa.ChunkedArray:
        return pq.read_table(self.path / IDS, memory_map=True)["id"]

    @property
    def _size(self) -> tuple[int, int]:
        counts = self.config["interactions"]
        return int(counts["num_users"]), int(counts["num_items"])

    @cached_property
    def user_ids(self) -> Ids:
        """The raw ids of users."""
        return Ids(self._ids[: self._size[0]])

    @cached_property
    def item_ids(self) -> Ids:
        """The raw ids of items."""
        return Ids(self._ids[self._size[0] :])

    @cached_property
    def split(self) -> Split:
        """The interactions, without raw ids."""
        table = pq.read_table(self.path / INTERACTIONS)
        columns: dict[str, Any] = {
            name: torch.from_numpy(table[name].to_numpy().copy())
            for name in table.column_names
        }
        part, size = columns.pop("part"), self.config["interactions"]
        columns["user"], columns["item"] = (
            columns["user"].long(),
            columns["item"].long(),
        )
        columns |= {name: size[name] for name in ("num_users", "num_items")}
        columns["behaviors"] = tuple(size.get("behaviors", ()))
        columns["time_unit"] = size.get("time_unit")
        whole = Interactions(**columns)
        train, val, test, disliked = (whole[part == n] for n in range(len(PARTS)))
        kept = disliked if len(disliked) else None
        return Split(train, val, test, size["order"], kept)

    @cached_property
    def seen(self) -> tuple[Tensor, Tensor]:
        """The items that no list of a user shows, taken or disliked,
        :obj:`(rowptr, col)`: the :obj:`exclude` of :func:`~ltgnn_pyg.scorers.top_k`.
        """
        return self.split.seen.rows()


def _raw(part: Interactions, name: str) -> list[str]:
    ids = getattr(part, f"{name}_ids")
    if ids is None:
        ids = np.arange(getattr(part, f"num_{name}s"))
    return [str(raw) for raw in ids.tolist()]


def _interactions_table(split: Split) -> pa.Table:
    parts = [getattr(split, name) for name in PARTS]
    parts = [split.train[:0] if part is None else part for part in parts]
    whole = Interactions.cat(*parts)
    number = np.repeat(np.arange(len(PARTS), dtype=np.int8), [len(p) for p in parts])
    columns = {"user": whole.user.int().numpy(), "item": whole.item.int().numpy()}
    columns["part"] = number
    for name in VALUES:
        value = getattr(whole, name)
        if value is not None:
            columns[name] = value.numpy()
    return pa.table(columns)
