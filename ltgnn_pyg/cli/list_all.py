"""Everybody's lists, written a chunk of users at a time."""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.scorers import top_k

ROWS = 1 << 20  #: Of a chunk, at most.
SCHEMA = pa.schema(
    [("user", pa.string()), ("item", pa.string()), ("rank", pa.int32()),
     ("score", pa.float32())]
)  # fmt: skip


class JsonLines:
    """Writes tables as JSON, a line a row.

    Args:
        path (str): The file.
        schema (pyarrow.Schema): Its columns, as writers of pyarrow take it.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.file = open(path, "w", encoding="utf-8")

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def write_table(self, table: pa.Table) -> None:
        """Writes the rows of a table."""
        self.file.writelines(json.dumps(row) + "\n" for row in table.to_pylist())


WRITERS: dict[str, Callable[..., AbstractContextManager[Any]]] = {
    ".parquet": pq.ParquetWriter,
    ".csv": pyarrow.csv.CSVWriter,
    ".jsonl": JsonLines,
}
SUFFIXES = tuple(WRITERS)  #: Of the files that lists can be written to.


def list_all(run: RunFolder, k: int, out: str, device: torch.device) -> None:
    """Writes the lists of all users: columns :obj:`user`, :obj:`item`, :obj:`rank` from
    1, and :obj:`score`; in place when they are complete.

    Args:
        run (RunFolder): The run.
        k (int): How long a list is at most.
        out (str): The file; its suffix says of which kind.
        device (torch.device): Where to score.

    Raises:
        ValueError: If the suffix is another one.

    *Cost:* That of :func:`~ltgnn_pyg.scorers.top_k`; memory of a chunk beside the
    run's tables.
    """
    path = Path(out)
    if path.suffix not in WRITERS:
        raise ValueError(
            f"Expected --out to end in one of {', '.join(SUFFIXES)} (got '{out}'); "
            "name one"
        )
    scorer, exclude = run.scorer_on(device), run.seen
    users, items = run.user_ids.values, run.item_ids.values
    step = max(1, ROWS // max(1, k))
    beside = path.with_name(path.name + ".tmp")
    starts = range(0, scorer.num_users, step)
    try:
        with WRITERS[path.suffix](beside, SCHEMA) as writer:
            for start in tqdm(starts, "Lists", disable=None, leave=False):
                user = torch.arange(start, min(start + step, scorer.num_users))
                score, item = top_k(scorer, k, user=user, exclude=exclude)
                row, rank = (item >= 0).nonzero().unbind(1)
                columns = [
                    users.take(pa.array((row.cpu() + start).numpy())),
                    items.take(pa.array(item[row, rank].cpu().numpy())),
                    (rank + 1).int().cpu().numpy(),
                    score[row, rank].float().cpu().numpy(),
                ]
                writer.write_table(pa.table(columns, schema=SCHEMA))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
