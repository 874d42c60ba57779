"""A file is there in full, or as it was before."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replace_file(path: Path, write: Callable[[Path], Any]) -> Path:
    """Writes a file beside its place, and moves it there when it is on the disk.

    Args:
        path (pathlib.Path): The file.
        write (callable): Writes to a path it is given.

    Returns:
        :obj:`path`.

    *Cost:* That of :obj:`write`.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    beside.touch()
    try:
        mode = beside.stat().st_mode
        write(beside)
        beside.chmod(mode)  # Who may read it is the user's to say, not the writer's.
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def replace_text(path: Path, text: str) -> Path:
    """Writes a text, as UTF-8, see :func:`replace_file`."""
    return replace_file(path, lambda to: to.write_text(text, "utf-8"))
