"""Raw ids that users type, looked up."""

import sys

import torch
from torch import Tensor

from ltgnn_pyg.runs import Ids


def read_ids(words: list[str]) -> list[str]:
    """The ids of a command: those given, and for :obj:`-` those of standard input, one
    a line.
    """
    out: list[str] = []
    for word in words:
        lines = (line.rstrip("\r\n") for line in sys.stdin) if word == "-" else [word]
        out.extend(line for line in lines if line)
    return out


def look_up(ids: Ids, raw: list[str], what: str, way_out: str) -> Tensor:
    """The indices of raw ids.

    Args:
        ids (Ids): Those of the run.
        raw (list): Those asked for.
        what (str): :obj:`"user"` or :obj:`"item"`.
        way_out (str): What to do about one that is not known.

    Raises:
        ValueError: If one is unknown, or there is none.
    """
    if not raw:
        raise ValueError(f"Expected {what}s (got none); name one")
    found = [ids.index(each) for each in raw]
    unknown = [each for each, index in zip(raw, found, strict=True) if index is None]
    if unknown:
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        known = ", ".join(repr(ids[n]) for n in range(min(3, len(ids))))
        raise ValueError(
            f"Expected {what}s of the run (got {unknown[0]!r}{others}; its "
            f"{len(ids):,} are of the form {known}); {way_out}"
        )
    return torch.tensor(found)
