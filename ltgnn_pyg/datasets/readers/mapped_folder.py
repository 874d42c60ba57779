r"""A folder of interactions whose ids are numbers already: arrays, or Parquet files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.readers.column_names import IDS
from ltgnn_pyg.datasets.readers.lightgcn_lines import Locate
from ltgnn_pyg.datasets.readers.mapped_arrays import load_array, read_column, release
from ltgnn_pyg.datasets.readers.mapped_parts import read_parts
from ltgnn_pyg.datasets.readers.parquet_files import parquet_error

SIZES = "sizes.json"
_PARQUET = (".parquet", ".pq")


def read_mapped(
    path: str,
    asked: Mapping[str, str | None],
    num_users: int | None = None,
    num_items: int | None = None,
) -> tuple[Interactions, Locate]:
    r"""Reads a folder of mapped parts; the numbers of users and items are given, or
    stand in :obj:`sizes.json`, or are those of the raw ids.

    *Cost:* :math:`O(E)`. Arrays of the right type are mapped into memory and take
    none until they are used; others and Parquet take 8 bytes for each number.
    """
    names = sorted(os.listdir(path))
    ids = {key: _read_ids(path, f"{key}_ids", names) for key in IDS}
    parts = [
        name
        for name in names
        if name.endswith(_PARQUET) and name[0] not in "._" and not _is_ids(name)
    ]
    has_arrays = "user.npy" in names or "item.npy" in names
    if has_arrays == bool(parts):
        raise ValueError(
            f"{path}: Expected a folder with either 'user.npy' and 'item.npy' or "
            f"Parquet files (got {'both' if parts else names[:5]}); pass the folder "
            f"that holds the parts themselves"
        )
    given = {"user": num_users, "item": num_items}
    sizes = _read_sizes(path) if SIZES in names else {}
    nums = {key: _number(path, key, given[key], sizes, ids[key]) for key in given}
    fields: dict[str, Any]
    arrays: list[np.ndarray] = []
    if has_arrays:
        if any(asked.values()):
            raise ValueError(
                f"{path}: Expected no column names for arrays, whose files bear them "
                f"(got {[name for name in asked.values() if name]}); leave them out"
            )
        found = [k for k in asked if k in ("user", "item") or f"{k}.npy" in names]
        arrays = [read_column(os.path.join(path, f"{k}.npy"), k) for k in found]
        fields = dict(zip(found, map(torch.from_numpy, arrays), strict=True))
        fields["time_unit"] = sizes.get("time_unit")
    else:
        fields = read_parts([os.path.join(path, name) for name in parts], asked)
    num = sizes.get("num_interactions", len(fields["user"]))
    if len(fields["user"]) != num:
        raise ValueError(
            f"{path}: Expected {num} interactions, as {SIZES} says (got "
            f"{len(fields['user'])}); fetch the parts again"
        )
    if "behavior" in fields:
        fields["behaviors"] = _behaviors(path, ids["behavior"])
    try:
        out = Interactions(
            **fields,
            num_users=nums["user"],
            num_items=nums["item"],
            user_ids=ids["user"],
            item_ids=ids["item"],
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for value in arrays:
        release(value)  # The check has read all pages.
    return out, lambda row: f"row {row + 1}"


def _is_ids(name: str) -> bool:
    return name.rsplit(".", 1)[0] in [f"{key}_ids" for key in IDS]


def _read_ids(path: str, stem: str, names: list[str]) -> np.ndarray | None:
    if f"{stem}.parquet" in names:
        file = os.path.join(path, f"{stem}.parquet")
        try:
            column = pq.read_table(file).column(0)
        except (pa.ArrowException, OSError, IndexError) as error:
            raise parquet_error(file, error) from None
        if column.null_count:
            raise ValueError(
                f"{file}: Expected raw ids (got {column.null_count} empty ones); give "
                f"one per {stem.removesuffix('_ids')}, in the order of their numbers"
            )
        return column.to_numpy()
    if f"{stem}.npy" in names:
        return load_array(os.path.join(path, f"{stem}.npy"))
    return None


def _behaviors(path: str, ids: np.ndarray | None) -> tuple[str, ...]:
    if ids is None:
        raise ValueError(
            f"{path}: Expected 'behavior_ids.parquet' or 'behavior_ids.npy' beside "
            f"behaviours (got none); write their names there, in the order of their "
            f"numbers"
        )
    return tuple(map(str, ids.tolist()))


def _read_sizes(path: str) -> dict[str, Any]:
    file = os.path.join(path, SIZES)
    keys = {"num_users", "num_items", "num_interactions"}
    try:
        with open(file, encoding="utf-8") as text:
            sizes = json.load(text)
        whole = isinstance(sizes, dict) and sizes.keys() <= keys | {"time_unit"}
        nums = [sizes[key] for key in keys & sizes.keys()] if whole else [None]
        if all(type(num) is int and num >= 0 for num in nums):
            return sizes
    except ValueError:
        sizes = "text that is no JSON"
    raise ValueError(
        f"{file}: Expected integers 'num_users', 'num_items' and, if you like, "
        f"'num_interactions' (got {sizes}); write the file again"
    )


def _number(
    path: str,
    key: str,
    given: int | None,
    sizes: Mapping[str, Any],
    ids: np.ndarray | None,
) -> int:
    name = f"num_{key}s"
    said: dict[str, int] = {} if given is None else {"the argument": given}
    if name in sizes:
        said[SIZES] = sizes[name]
    if ids is not None:
        said[f"{key}_ids"] = len(ids)
    if not said:
        raise ValueError(
            f"{path}: Expected the number of {key}s of mapped parts (got none); if "
            f"{key}s are numbered 0, 1, 2, ... already, pass {name}= or write it into "
            f"{SIZES}, else map the files with map_interactions"
        )
    if len(set(said.values())) > 1:
        raise ValueError(
            f"{path}: Expected one number of {key}s (got {said}); mend the wrong one"
        )
    return next(iter(said.values()))
