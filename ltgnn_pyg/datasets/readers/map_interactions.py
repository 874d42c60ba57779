from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from functools import partial

from ltgnn_pyg.datasets.interactions import Interactions
from ltgnn_pyg.datasets.readers.file_format import open_source, told_format
from ltgnn_pyg.datasets.readers.folder_sink import FolderSink
from ltgnn_pyg.datasets.readers.read_source import (
    check_options,
    needed_keys,
    read_source,
)

_FORMATS = ("csv", "tsv", "recbole", "libfm", "parquet")


def map_interactions(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
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
    memory_limit: str = "1GB",
) -> Interactions:
    r"""Maps the ids of files larger than memory, once, and keeps the result.

    Reads what :func:`read_interactions` reads, by the same rules, and gives the same
    :class:`Interactions`, but mapped to the files of a folder, which
    :func:`read_interactions` opens again in no time:

    .. code-block:: python

        interactions = map_interactions("events/*.csv", "mapped")
        interactions = read_interactions("mapped")  # From then on.

    Ids are sorted in runs on the disk, which are merged within :obj:`memory_limit`.
    The folder then holds :obj:`user.npy`, :obj:`item.npy` and, if there are any,
    :obj:`rating.npy`, :obj:`time.npy`, :obj:`weight.npy` and :obj:`behavior.npy`, in
    the order of the files, :obj:`user_ids.parquet` and :obj:`item_ids.parquet`, and,
    last of all, :obj:`sizes.json`.

    Args:
        path (str or Sequence[str]): The file or files. A name may be a pattern, as
            :obj:`"events/*.csv"`, whose files are read in the order of their names.
        folder (str): The folder of the result, which is empty or not yet there.
            What is spilled lies there, too, meanwhile.
        format (str, optional): :obj:`"csv"`, :obj:`"tsv"`, :obj:`"recbole"`,
            :obj:`"libfm"` or :obj:`"parquet"`. If :obj:`None`, as the first file tells.
            (default: :obj:`None`)
        user (str, optional): The column of users, see :func:`read_interactions`.
            (default: :obj:`None`)
        item (str, optional): The column of items. (default: :obj:`None`)
        rating (str, optional): The column of ratings. (default: :obj:`None`)
        time (str, optional): The column of times. (default: :obj:`None`)
        sep (str, optional): The separator of columns. (default: :obj:`None`)
        names (Sequence[str], optional): The names of all columns of text without a
            line of them. (default: :obj:`None`)
        min_rating (float, optional): Drops interactions rated lower, before ids are
            numbered. (default: :obj:`None`)
        weight (str, optional): The column of weights. (default: :obj:`None`)
        behavior (str, optional): The column of behaviours. (default: :obj:`None`)
        duplicates (str, optional): The way to treat a repeated pair: :obj:`"error"`,
            :obj:`"drop"`, :obj:`"count"` or :obj:`"keep"`. (default: :obj:`"error"`)
        memory_limit (str, optional): The memory that raw ids may take, such as
            :obj:`"500MB"`. The rest of the work holds blocks of rows, and pages of the
            mapped result, which the system takes back when it is short of them.
            (default: :obj:`"1GB"`)

    Shapes:
        - **output:** :class:`Interactions` of :math:`E` distinct pairs, in the order
          of the files

    Raises:
        ValueError: If there is no such file, the folder is not empty,
            :obj:`memory_limit` is no size, or for what :func:`read_interactions`
            refuses. The folder then stays empty.

    *Cost:* linear in the files but for sorts of the distinct ids and of the pairs;
    disk for about the files once more, and 16 to 28 bytes an interaction to stay.
    """
    check_options(duplicates, sep)
    paths = _find(path)
    format = told_format(paths, format, sep, names)
    if format not in _FORMATS:
        raise ValueError(
            f"Expected format to be one of {_FORMATS} (got {format!r}); other formats "
            f"are for read_interactions"
        )
    asked = {
        "user": user, "item": item, "rating": rating, "time": time, "weight": weight,
        "behavior": behavior,
    }  # fmt: skip
    needed = needed_keys(asked, names is not None, min_rating)
    source = open_source(paths, format, asked, sep, names)
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder):
        raise ValueError(
            f"{folder}: Expected an empty folder (got {os.listdir(folder)[:5]}); name "
            f"another"
        )
    make_sink = partial(FolderSink, folder, memory_limit)
    out, sink = read_source(source, make_sink, needed, min_rating, duplicates)
    try:
        sink.publish(out)
    finally:
        sink.close()
    return out


def _find(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[str]:
    given = [path] if isinstance(path, str | os.PathLike) else path
    paths: list[str] = []
    for each in given:
        pattern = os.fspath(each)
        found = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
        if not found:
            raise ValueError(
                f"Expected files named {pattern!r} (got none); mend the name or pattern"
            )
        paths += found
    for name in paths:
        if not os.path.isfile(name):
            raise ValueError(
                f"{name}: Expected a file (got a folder); pass a pattern such as "
                f"{os.path.join(name, '*.parquet')!r}"
            )
    return paths
