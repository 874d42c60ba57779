from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.readers.file_format import none_error, open_source, told_format
from ltgnn_pyg.datasets.readers.lightgcn_lines import read_lightgcn
from ltgnn_pyg.datasets.readers.mapped_folder import read_mapped
from ltgnn_pyg.datasets.readers.memory_sink import MemorySink
from ltgnn_pyg.datasets.readers.raw_file import whole_gzip
from ltgnn_pyg.datasets.readers.read_source import (
    check_options,
    duplicate_error,
    needed_keys,
    read_source,
)


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
    weight: str | None = None,
    behavior: str | None = None,
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
      be quoted as in RFC 4180, and then hold separators, quotes and line breaks;
      of a :obj:`"tsv"`, quotes that hold whole lines are refused.
    - :obj:`"recbole"`: a RecBole :obj:`.inter` file, tab-separated, whose column
      names carry a type: :obj:`user_id:token`.
    - :obj:`"libfm"`: :obj:`label user:value item:value` on each line. The label
      is the rating, the first feature names the user and the second the item,
      their values are ignored. Users and items may share one range of feature
      ids, as libFM has it, or count separately.
    - :obj:`"parquet"`: columns of integer or string ids.
    - :obj:`"mapped"`: a folder of interactions whose ids are 0, 1, 2, ... already, as
      :func:`map_interactions` or another job leaves it. It holds :obj:`user.npy` and
      :obj:`item.npy`, with :obj:`rating.npy`, :obj:`time.npy`, :obj:`weight.npy` and
      :obj:`behavior.npy` if there are any, or Parquet files, which are read in the
      order of their names; :obj:`user_ids.parquet` and :obj:`item_ids.parquet` (or
      :obj:`.npy`) if raw ids are known; and :obj:`sizes.json`, which says
      :obj:`num_users` and :obj:`num_items`. Ids are checked and stay as they are.
      Arrays of :obj:`int64`, and of ratings in :obj:`float32`, are mapped into memory.

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
            become integers of :obj:`time_unit`. If :obj:`None`, :obj:`timestamp` or
            :obj:`time`, likewise. (default: :obj:`None`)
        sep (str, optional): The separator of columns. If :obj:`None`, comma or
            tab, as the format has it. (default: :obj:`None`)
        names (Sequence[str], optional): The names of all columns of a
            :obj:`"csv"` or :obj:`"tsv"` file without a line of them, as the ratings
            of Amazon Reviews come. Columns of other than the usual names are not
            read unless they are asked for. (default: :obj:`None`)
        min_rating (float, optional): Drops interactions rated lower, before ids
            are numbered. (default: :obj:`None`)
        weight (str, optional): The column of weights, the confidence in each pair,
            all above 0. (default: :obj:`None`)
        behavior (str, optional): The column of behaviours, such as :obj:`"view"` and
            :obj:`"buy"`: integers or strings, numbered as ids are. A pair may then
            occur once with each. (default: :obj:`None`)
        duplicates (str, optional): If :obj:`"error"`, a repeated pair is an
            error; if :obj:`"drop"`, its first occurrence stays; if :obj:`"count"`, it
            stays with the sum of all their weights, each 1 if there are none; if
            :obj:`"keep"`, all stay. (default: :obj:`"error"`)
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
    asked = {
        "user": user, "item": item, "rating": rating, "time": time, "weight": weight,
        "behavior": behavior,
    }  # fmt: skip
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
        return _treated(out, duplicates, lambda row: f"{path}, {locate(row)}")
    if num_users is not None or num_items is not None:
        raise ValueError(
            f"{path}: Expected num_users and num_items with a folder of mapped "
            f"interactions alone (got a file, whose ids are mapped here); leave them "
            f"out, or pass the folder"
        )
    sure = format is not None
    format = told_format([path], format, sep, names)
    if format in ("lightgcn", "libfm") and (sep or any(asked.values())):
        raise ValueError(
            f"Expected no column names and no sep for format={format!r}, whose "
            f"columns are fixed (got some); pass another format or leave them out"
        )
    if format == "lightgcn":
        if min_rating is not None:
            raise ValueError(
                f"{path}: Expected ratings to compare with min_rating (got none); "
                f"pass another format"
            )
        with whole_gzip(path):
            out, locate = read_lightgcn(path, sure)
        if len(out) == 0:
            raise none_error(path, "none")
        return _treated(out, duplicates, lambda row: f"{path}, {locate(row)}")
    needed = needed_keys(asked, names is not None, min_rating)
    source = open_source([path], format, asked, sep, names)
    out, _ = read_source(source, MemorySink, needed, min_rating, duplicates)
    return out


def _treated(
    out: Interactions, duplicates: str, place: Callable[[int], str]
) -> Interactions:
    if duplicates == "keep":
        return out
    repeated = out.repeated()
    if duplicates == "count":
        out = replace(out, weight=out.repeat_weight())
    elif duplicates == "error" and bool(repeated.any()):
        raise duplicate_error(out, place)
    return out[~repeated] if bool(repeated.any()) else out
