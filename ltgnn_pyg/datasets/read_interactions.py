from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ltgnn_pyg.datasets.column_formats import read_columns
from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.mapped_parts import read_mapped
from ltgnn_pyg.datasets.raw_file import is_parquet, open_raw, whole_gzip
from ltgnn_pyg.datasets.text_formats import read_libfm, read_lightgcn

_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".inter": "recbole",
    ".libfm": "libfm",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_FIRST_LINE = {
    "lightgcn": rb"\d+( \d+)* *$",
    "libfm": rb"\S+ \d+:\S+ \d+:",
    "recbole": rb"\w+:\w+\t",
    "tsv": rb"[^\t,]+\t",
    "csv": rb"[^\t,]+,",
}
_FORMATS = ("lightgcn", "csv", "tsv", "recbole", "libfm", "parquet")


def read_interactions(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    sep: str | None = None,
    names: Sequence[str] | None = None,
    min_rating: float | None = None,
    duplicates: str = "error",
    num_users: int | None = None,
    num_items: int | None = None,
) -> Interactions:
    r"""Reads user-item interactions from a file and maps their ids once.

    - :obj:`"lightgcn"`: a user, then its items, on each line, separated by
      blanks: :obj:`0 3 5 8`. The ids are integers and stay as they are; a user
      may have no items. :math:`U` and :math:`I` are the largest ids plus one.
      Unasked, a file is not read so if its lines may be columns separated by blanks.
    - :obj:`"csv"`, :obj:`"tsv"`: a line of column names, then a line per
      interaction. A file without the former has its :obj:`names` given. Fields may
      be quoted as in RFC 4180, and then hold separators, quotes and line breaks.
    - :obj:`"recbole"`: a RecBole :obj:`.inter` file, tab-separated, whose column
      names carry a type: :obj:`user_id:token`.
    - :obj:`"libfm"`: :obj:`label user:value item:value` on each line. The label
      is the rating, the first feature names the user and the second the item,
      their values are ignored. Users and items may share one range of feature
      ids, as libFM has it, or count separately.
    - :obj:`"parquet"`: columns of integer or string ids.
    - :obj:`"mapped"`: a folder of interactions whose ids are 0, 1, 2, ... already, as
      :func:`map_interactions` or another job leaves it. It holds :obj:`user.npy` and
      :obj:`item.npy`, with :obj:`rating.npy` and :obj:`time.npy` if there are any, or
      Parquet files, which are read in the order of their names;
      :obj:`user_ids.parquet` and :obj:`item_ids.parquet` (or :obj:`.npy`) if raw ids
      are known; and :obj:`sizes.json`, which says :obj:`num_users` and
      :obj:`num_items`. Ids are checked and stay as they are. Arrays of
      :obj:`int64`, and of ratings in :obj:`float32`, are mapped into memory.

    Text is UTF-8, and may be gzipped. Files larger than memory are for
    :func:`map_interactions`.

    Except for :obj:`"lightgcn"` and :obj:`"mapped"`, ids are numbered
    in the sorted order of the raw ids: numerically if all of a column are integers
    below :math:`2^{63}`, else as strings. The mapping stays in :obj:`user_ids` and
    :obj:`item_ids`. An empty field, :obj:`nan`, :obj:`NaN`, :obj:`null` and
    :obj:`NULL` are no values.

    Args:
        path (str): The file, or the folder of mapped interactions.
        format (str, optional): One of the formats above. If :obj:`None`, it is
            told from the suffix or else the first line. (default: :obj:`None`)
        user (str, optional): The column of users. If :obj:`None`,
            :obj:`user_id`, :obj:`user` or :obj:`userid` in any case.
            (default: :obj:`None`)
        item (str, optional): The column of items, likewise.
            (default: :obj:`None`)
        rating (str, optional): The column of ratings. If :obj:`None`,
            :obj:`rating` if there is one and each of its fields is a number; if one
            is not, a warning says which. (default: :obj:`None`)
        time (str, optional): The column of times: numbers, or timestamps, which
            become integers. If :obj:`None`, :obj:`timestamp` or :obj:`time`,
            likewise. (default: :obj:`None`)
        sep (str, optional): The separator of columns. If :obj:`None`, comma or
            tab, as the format has it. (default: :obj:`None`)
        names (Sequence[str], optional): The names of all columns of a
            :obj:`"csv"` or :obj:`"tsv"` file without a line of them, as the ratings
            of Amazon Reviews come. Columns of other than the usual names are not
            read unless they are asked for. (default: :obj:`None`)
        min_rating (float, optional): Drops interactions rated lower, before ids
            are numbered. (default: :obj:`None`)
        duplicates (str, optional): If :obj:`"error"`, a repeated pair is an
            error; if :obj:`"drop"`, its first occurrence stays.
            (default: :obj:`"error"`)
        num_users (int, optional): The number of users :math:`U` of a
            :obj:`"mapped"` folder. If :obj:`None`, that of :obj:`sizes.json` or of the
            raw ids; it is not guessed from the largest id. (default: :obj:`None`)
        num_items (int, optional): The number of items :math:`I`, likewise.
            (default: :obj:`None`)

    Shapes:
        - **output:** :class:`Interactions` of :math:`E` distinct pairs, in the
          order of the file

    Raises:
        ValueError: If the file is empty or damaged, numbers of users or items are not
            known, its format is not sure, a line of
            names stands where :obj:`names` say there is none, or a line is ragged,
            not numeric where a number must stand, holds an empty or NaN field or a
            negative id, or repeats a pair. The message names file and line.

    *Cost:* time linear in the file but for one sort of the pairs; a few dozen
    bytes of memory per interaction. No Python loop over rows.
    """
    path = os.fspath(path)
    check_options(duplicates, sep)
    asked = {"user": user, "item": item, "rating": rating, "time": time}
    if format == "mapped" or os.path.isdir(path):
        if format not in (None, "mapped") or sep or names or min_rating is not None:
            raise ValueError(
                f"{path}: Expected no format, sep, names or min_rating for a folder of "
                f"mapped interactions (got one); leave them out, or pass other files "
                f"to map_interactions"
            )
        if not os.path.isdir(path):
            raise ValueError(
                f"{path}: Expected a folder for format='mapped' (got a file or none); "
                f"pass the folder that it lies in"
            )
        out, locate = read_mapped(path, asked, num_users, num_items)
        return _distinct(out, duplicates, lambda row: f"{path}, {locate(row)}")
    if num_users is not None or num_items is not None:
        raise ValueError(
            f"{path}: Expected num_users and num_items with a folder of mapped "
            f"interactions alone (got a file, whose ids are mapped here); leave them "
            f"out, or pass the folder"
        )
    if os.path.getsize(path) == 0:
        raise none_error(path, "an empty file")
    sure = format is not None
    with whole_gzip(path):
        format = format or guess_format(path, columns=bool(sep or names))
    if format not in _FORMATS:
        raise ValueError(
            f"Expected format to be one of {_FORMATS} (got {format!r}); choose one"
        )
    check_names(names, format)
    if format in ("lightgcn", "libfm") and (sep or any(asked.values())):
        raise ValueError(
            f"Expected no column names and no sep for format={format!r}, whose "
            f"columns are fixed (got some); pass another format or leave them out"
        )
    needed = {key for key in asked if asked[key] or names is not None}
    needed |= {"user", "item"} | ({"rating"} if min_rating is not None else set())
    with whole_gzip(path):
        if format == "lightgcn":
            out, locate = read_lightgcn(path, sure)
        elif format == "libfm":
            out, locate = read_libfm(path)
        else:
            out, locate = read_columns(path, format, asked, needed, sep, names)
    if len(out) == 0:
        raise none_error(path, "none")
    row = torch.arange(len(out))
    if min_rating is not None:
        if out.rating is None:
            raise ValueError(
                f"{path}: Expected ratings to compare with min_rating (got none); "
                f"pass rating= the name of their column"
            )
        row = row[out.rating >= min_rating]
        if row.numel() == 0:
            raise ValueError(
                f"{path}: Expected ratings >= {min_rating} (got at most "
                f"{float(out.rating.max())}); lower min_rating"
            )
        out = out[row]
    out = _distinct(out, duplicates, lambda place: f"{path}, {locate(int(row[place]))}")
    return _number_anew(_number_anew(out, "user"), "item")


def _distinct(
    out: Interactions, duplicates: str, place: Callable[[int], str]
) -> Interactions:
    repeated = out.repeated()
    if not bool(repeated.any()):
        return out
    if duplicates == "error":
        raise duplicate_error(out, repeated, place)
    return out[~repeated]


def check_options(duplicates: str, sep: str | None) -> None:
    r"""Refuses what is no way to treat repeated pairs, and no separator."""
    if duplicates not in ("error", "drop"):
        raise ValueError(
            f"Expected duplicates='error' or 'drop' (got {duplicates!r}); choose one"
        )
    if sep is not None and len(sep) != 1:
        raise ValueError(
            f"Expected sep of one character (got {sep!r}); convert the file"
        )


def check_names(names: Sequence[str] | None, format: str) -> None:
    r"""Refuses names of columns for files that hold them or need none."""
    if names is not None and format not in ("csv", "tsv"):
        raise ValueError(
            f"Expected no names for format={format!r}, whose files hold them or need "
            f"none (got {names}); pass format='csv' or leave them out"
        )


def guess_format(path: str, columns: bool) -> str:
    r"""The format of a file by its suffix, or else by its first line."""
    if is_parquet(path):
        return "parquet"
    stem = path[:-3] if path.lower().endswith(".gz") else path
    suffix = os.path.splitext(stem)[1].lower()
    if suffix in _SUFFIX:
        return _SUFFIX[suffix]
    if columns:
        return "csv"
    with open_raw(path) as file:
        line = file.readline(1 << 16).rstrip(b"\r\n")
    for format, pattern in _FIRST_LINE.items():
        if re.match(pattern, line):
            return format
    raise ValueError(
        f"{path}: Expected a suffix of {sorted(_SUFFIX)} or a first line that tells "
        f"the format (got {line[:60].decode(errors='replace')!r}); pass format= one of "
        f"{_FORMATS}"
    )


def none_error(path: str, what: str) -> ValueError:
    r"""Says that a file holds no interactions."""
    return ValueError(f"{path}: Expected interactions (got {what}); fetch it again")


def duplicate_error(
    out: Interactions, repeated: Tensor, place: Callable[[int], str]
) -> ValueError:
    r"""Names the first repeated pair and both its places."""
    second = int(repeated.nonzero()[0])
    user, item = int(out.user[second]), int(out.item[second])
    first = int(((out.user == user) & (out.item == item)).nonzero()[0])
    raw_user = user if out.user_ids is None else out.user_ids[user]
    raw_item = item if out.item_ids is None else out.item_ids[item]
    where, before = place(second), place(first)
    path = where.rsplit(", ", 1)[0]
    return ValueError(
        f"{where}: Expected distinct pairs (got user {raw_user} with item {raw_item} "
        f"again, first on {before.removeprefix(path + ', ')}, {int(repeated.sum())} "
        f"repeated in all); pass duplicates='drop'"
    )


def _number_anew(out: Interactions, name: str) -> Interactions:
    # Mapped ids of which no interaction is left give up their number.
    index, ids = getattr(out, name), getattr(out, f"{name}_ids")
    if ids is None:
        return out
    used = torch.bincount(index, minlength=len(ids)) > 0
    if bool(used.all()):
        return out
    return replace(
        out,
        **{
            name: (used.cumsum(0) - 1)[index],
            f"{name}_ids": ids[used.numpy()],
            f"num_{name}s": int(used.sum()),
        },
    )
