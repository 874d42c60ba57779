"""DATA of the command line: a file, a folder, or a published or drawn set."""

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ltgnn_pyg.cli.settings import given, settings_of
from ltgnn_pyg.datasets import (
    Gowalla,
    InteractionDataset,
    Interactions,
    LightGCNText,
    Split,
    Yelp2018,
    read_interactions,
    split_ratio,
    synthetic_interactions,
)

PUBLISHED: dict[str, type[InteractionDataset]] = {
    "gowalla": Gowalla,
    "yelp2018": Yelp2018,
}
NAMED = ("-", "synthetic", *PUBLISHED)  #: DATA that is no path.
READER = settings_of(read_interactions)
FORMATS = "csv, tsv, recbole, libfm, lightgcn, parquet or mapped (default: told)"
SPLIT = {name: s for name, s in settings_of(split_ratio).items() if name != "seed"}


@dataclass(frozen=True)
class Source:
    """Interactions that flags name, read.

    Args:
        name (str): What they are called, without the folders they lie in.
        sha256 (str, optional): Of the bytes of their files, one after the other;
            :obj:`None` if they were drawn.
        interactions (Interactions): All of them.
        split (callable): Makes the parts, as the flags say.
    """

    name: str
    sha256: str | None
    interactions: Interactions
    split: Callable[[], Split]


def add_data_flags(parser: argparse.ArgumentParser, parts: bool = True) -> None:
    """Adds :obj:`DATA`, how it is read and, unless told otherwise, split.

    Args:
        parser (argparse.ArgumentParser): The parser.
        parts (bool, optional): Whether it is split. (default: :obj:`True`)
    """
    parser.add_argument(
        "data", metavar="DATA", help="a file of interactions ('-' for standard input), "
        "a folder with train.txt and test.txt or with mapped interactions, "
        f"{', '.join(PUBLISHED)}, or synthetic",
    )  # fmt: skip
    group = parser.add_argument_group("data")
    group.add_argument(
        "--root", metavar="PATH", default=argparse.SUPPRESS,
        help="where a published set lies, or is downloaded to (default: data)",
    )  # fmt: skip
    group.add_argument(
        "--dislike-below", type=float, metavar="X", default=argparse.SUPPRESS,
        help="interactions rated lower are dislikes: no list shows them",
    )  # fmt: skip
    for name, setting in READER.items():
        setting.add_to(group, text=FORMATS if name == "format" else None)
    if parts:
        for setting in SPLIT.values():
            setting.add_to(group)


def open_data(flags: Mapping[str, Any]) -> Source:
    """Reads what flags name.

    Raises:
        OSError: If it is not there, or cannot be downloaded.
        ValueError: If it is damaged, or a flag does not fit it.
    """
    data, seed = flags["data"], flags["seed"]
    is_file = data not in NAMED or data == "-"
    if "dislike_below" in flags and (not is_file or Path(data, "train.txt").is_file()):
        raise ValueError(f"Expected no --dislike-below with '{data}' (got it)")
    reader, cut = given(flags, READER), {**given(flags, SPLIT), "seed": seed}
    path = Path(data)
    if data == "synthetic":
        _refuse(data, reader)
        drawn = synthetic_interactions(seed=seed)
        return Source(data, None, drawn, lambda: split_ratio(drawn, **cut))
    if data in PUBLISHED or (path / "train.txt").is_file():
        allowed = given(reader, ["duplicates"])
        own = given(cut, ["test_ratio"])
        _refuse(data, {n: v for n, v in reader.items() if n not in allowed} | own)
        cls, root = PUBLISHED.get(data, LightGCNText), flags["root"]
        try:
            found = cls(root if data in PUBLISHED else data, **allowed)
        except RuntimeError as error:
            raise ConnectionError(str(error)) from error
        files = [Path(raw) for raw in found.raw_paths]
        cut.setdefault("val_ratio", SPLIT["val_ratio"].default)
        whole = Interactions.cat(found.train, found.test)
        return Source(
            path.resolve().name, _sha256(files), whole, lambda: found.split(**cut)
        )
    with tempfile.TemporaryDirectory() as beside:
        if data == "-":
            path = Path(beside, "stdin")
            with open(path, "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        read, folder = read_interactions(path, **reader), path.is_dir()
        files = sorted(filter(Path.is_file, path.iterdir())) if folder else [path]
        name = data if data == "-" else path.resolve().name
        below = flags.get("dislike_below")

        def split() -> Split:
            if below is None:
                return split_ratio(read, **cut)
            liked, disliked = read.split_by_rating(below)
            return replace(split_ratio(liked, **cut), disliked=disliked)

        return Source(name, _sha256(files), read, split)


def _refuse(data: str, unfit: dict[str, Any]) -> None:
    for name in unfit:
        flag = (READER | SPLIT)[name].flag
        raise ValueError(f"Expected no {flag} with '{data}' (got it); leave it out")


def _sha256(paths: list[Path]) -> str:
    out = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                out.update(chunk)
    return out.hexdigest()
