"""The folder of a trained model: what is served, evaluated and exported."""

import json
import os
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch_geometric.utils.sparse import index2ptr

from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.datasets.replace_file import replace_file, replace_text
from ltgnn_pyg.scorers import Vectors

CONFIG, IDS = "config.json", "ids.parquet"
WEIGHTS, INTERACTIONS = "model.safetensors", "interactions.parquet"
INDEX = "index"  #: Of :class:`~ltgnn_pyg.retrieval.Index`, if one was built.
PARTS = ("train", "val", "test")


class Ids:
    """The raw ids of users or of items, as strings, by their index.

    Args:
        values (pyarrow.ChunkedArray): A string for each index.

    Raises:
        ValueError: If an id is there twice.

    *Cost:* One sort.
    """

    def __init__(self, values: pa.ChunkedArray) -> None:
        self.values = values.combine_chunks()
        self.order = pc.sort_indices(self.values).to_numpy()
        if len(pc.unique(self.values)) != len(self.values):
            raise ValueError("Expected each id once (got some twice); map ids anew")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> str:
        """The id at an index.

        *Cost:* O(1).
        """
        return str(self.values[index].as_py())

    def index(self, raw: str) -> int | None:
        """The index of an id, :obj:`None` if it is unknown.

        *Cost:* O(log N).
        """
        at = bisect_left(self.order, raw.encode(), key=lambda i: self[i].encode())
        found = at < len(self) and self[self.order[at]] == raw
        return int(self.order[at]) if found else None


@dataclass(frozen=True)
class RunFolder:
    """A trained model on disk, opened.

    ============================ ==================================================
    :obj:`config.json`           settings of model, training and data; versions
    :obj:`model.safetensors`     :obj:`user`, :obj:`item`, :obj:`item_bias`, what is
                                 scored, and the tensors of the model as
                                 :obj:`model.NAME`
    :obj:`ids.parquet`           column :obj:`id`: raw ids as strings, in the order of
                                 the nodes, users first
    :obj:`interactions.parquet`  :obj:`user`, :obj:`item` (indices from 0), :obj:`part`
                                 (0 training, 1 validation, 2 test), and :obj:`time` and
                                 :obj:`rating` where there are
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
        return cls(folder, json.loads((folder / CONFIG).read_text()))

    @classmethod
    def write(
        cls,
        path: str | os.PathLike[str],
        vectors: Vectors,
        split: Split,
        config: dict[str, Any],
        model: torch.nn.Module | None = None,
    ) -> "RunFolder":
        """Writes a trained model, each file all or nothing, the configuration last.

        Args:
            path (str): The folder, made if need be.
            vectors (Vectors): What is scored.
            split (Split): The interactions; training and validation part are known,
                and never recommended.
            config (dict): Settings, for :obj:`config.json`.
            model (torch.nn.Module, optional): Whose parameters and buffers go along.
                (default: :obj:`None`)

        Raises:
            ValueError: If vectors and interactions are not of as many users and items.

        *Cost:* One write of the tables.
        """
        folder, train = Path(path), split.train
        size = train.num_users, train.num_items
        if size != (vectors.num_users, vectors.num_items):
            raise ValueError(
                f"Expected vectors of {size[0]} users and {size[1]} items, as the "
                f"interactions have (got {vectors.num_users} and {vectors.num_items})"
            )
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"user": vectors.user, "item": vectors.item}
        if vectors.item_bias is not None:
            tensors["item_bias"] = vectors.item_bias
        if model is not None:
            tensors |= {f"model.{k}": v for k, v in model.state_dict().items()
                        if isinstance(v, Tensor)}  # fmt: skip
        # Copies, as tensors that share numbers are refused.
        tensors = {k: v.detach().cpu().clone() for k, v in tensors.items()}
        replace_file(folder / WEIGHTS, lambda to: save_file(tensors, to))
        ids = pa.table({"id": pa.array([*_raw(train, "user"), *_raw(train, "item")])})
        replace_file(folder / IDS, lambda to: pq.write_table(ids, to))
        table = _interactions_table(split)
        replace_file(folder / INTERACTIONS, lambda to: pq.write_table(table, to))
        counts = {"num_users": size[0], "num_items": size[1], "order": split.order}
        config = {"format": 1, **config, "interactions": counts}
        text = json.dumps(config, indent=1) + "\n"
        replace_text(folder / CONFIG, text)
        return cls(folder, config)

    @cached_property
    def vectors(self) -> Vectors:
        """What is scored, mapped into memory."""
        names = ("user", "item", "item_bias")
        return Vectors(**self._tensors(names.__contains__))

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors of the model, by name; none if they were not written."""
        found = self._tensors(lambda name: name.startswith("model."))
        return {name.removeprefix("model."): t for name, t in found.items()}

    def _tensors(self, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
        try:
            with safe_open(self.path / WEIGHTS, framework="pt") as file:
                return {n: file.get_tensor(n) for n in filter(wanted, file.keys())}
        except SafetensorError as error:
            raise ValueError(
                f"Expected '{self.path / WEIGHTS}' as it was written (got: {error}); "
                "train anew, or take a copy"
            ) from error

    @cached_property
    def _ids(self) -> pa.ChunkedArray:
        return pq.read_table(self.path / IDS, memory_map=True)["id"]

    @cached_property
    def user_ids(self) -> Ids:
        """The raw ids of users."""
        return Ids(self._ids[: self.vectors.num_users])

    @cached_property
    def item_ids(self) -> Ids:
        """The raw ids of items."""
        return Ids(self._ids[self.vectors.num_users :])

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
        columns |= {"num_users": size["num_users"], "num_items": size["num_items"]}
        whole = Interactions(**columns)
        train, val, test = (whole[part == number] for number in range(len(PARTS)))
        return Split(train, val, test, order=size["order"])

    @cached_property
    def seen(self) -> tuple[Tensor, Tensor]:
        """What each user has taken, :obj:`(rowptr, col)` over users and items: the
        :obj:`exclude` of :func:`~ltgnn_pyg.scorers.top_k`.
        """
        known = Interactions.cat(self.split.train, self.split.val)
        user, perm = known.user.sort(stable=True)
        return index2ptr(user, known.num_users), known.item[perm]


def _raw(part: Interactions, name: str) -> list[str]:
    ids = getattr(part, f"{name}_ids")
    if ids is None:
        ids = np.arange(getattr(part, f"num_{name}s"))
    return [str(raw) for raw in ids.tolist()]


def _interactions_table(split: Split) -> pa.Table:
    parts = [getattr(split, name) for name in PARTS]
    whole = Interactions.cat(*parts)
    number = np.repeat(np.arange(len(PARTS), dtype=np.int8), [len(p) for p in parts])
    columns = {"user": whole.user.int().numpy(), "item": whole.item.int().numpy()}
    columns["part"] = number
    for name in ("time", "rating"):
        value = getattr(whole, name)
        if value is not None:
            columns[name] = value.numpy()
    return pa.table(columns)
