"""Versions of a model beside each other, and the file that names the one served."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from ltgnn_pyg.datasets.replace_file import replace_text
from ltgnn_pyg.nn.models.pretrained import CONFIG, WEIGHTS
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.runs.run_folder import IDS, INDEX, INTERACTIONS
from ltgnn_pyg.serving.tables import TABLES, write_tables

CURRENT, CHECKSUMS = "CURRENT", "checksums.json"
SERVED = (CONFIG, WEIGHTS, IDS, INTERACTIONS)
NUMBER = re.compile(r"\d{6,}")


def publish(run: str | os.PathLike[str], store: str | os.PathLike[str]) -> str:
    r"""Hands a trained model to the servers of a folder, which take it up within a
    second or so, without losing a request.

    .. code-block:: python

        publish("runs/monday", "models")
        serve("models")                    # In another process, for months.
        publish("runs/tuesday", "models")

    The files of the run are copied to a new folder, :obj:`models/000002`, with their
    checksums. When they are on the disk, the file :obj:`models/CURRENT` is replaced by
    one that names it: a crash at any moment leaves the one version or the other. The
    version before stays, to go back to by a :obj:`CURRENT` that names it; older ones
    are removed.

    Args:
        run (str): The folder of a finished run, see
            :class:`~ltgnn_pyg.runs.RunFolder`.
        store (str): The folder of versions, made if need be.

    Returns:
        The name of the version.

    Raises:
        ValueError: If there is no finished run, or its numbers are not finite.

    *Cost:* One copy of the files.
    """
    source, store = RunFolder.open(run).path, Path(store)
    store.mkdir(parents=True, exist_ok=True)
    beside = store / f".{os.getpid()}.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        names = [*SERVED, *([INDEX] if (source / INDEX).exists() else [])]
        for name in names:
            shutil.copyfile(source / name, beside / name)
        write_tables(RunFolder.open(beside))
        sums = {name: checksum(beside / name) for name in (*names, TABLES)}
        replace_text(beside / CHECKSUMS, json.dumps(sums, indent=1) + "\n")
        for path in (*beside.iterdir(), beside):
            sync(path)
        name = _move(beside, store)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    before = current(store)
    pointer = store / f".{CURRENT}.{os.getpid()}.tmp"
    pointer.write_text(name + "\n")
    sync(pointer)
    os.replace(pointer, store / CURRENT)
    sync(store)
    for old in versions(store):
        if int(old) < int(name) and old != before:
            shutil.rmtree(store / old, ignore_errors=True)
    return name


def _move(beside: Path, store: Path) -> str:
    """Gives a folder the next number, which another process may take meanwhile."""
    while True:
        name = f"{int((versions(store) or ['0'])[-1]) + 1:06d}"
        try:
            beside.rename(store / name)
        except OSError:
            if not (store / name).exists():
                raise
        else:
            return name


def versions(store: Path) -> list[str]:
    """The names of the versions in a folder, the oldest first."""
    names = (path.name for path in store.iterdir())
    return sorted((n for n in names if NUMBER.fullmatch(n)), key=int)


def current(store: Path) -> str | None:
    """The version that is to be served, :obj:`None` if none is named.

    Raises:
        ValueError: If the file holds no name of a version.
    """
    try:
        name = (store / CURRENT).read_text().strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        name = ""
    if not NUMBER.fullmatch(name):
        raise ValueError(
            f"Expected the number of a version in '{CURRENT}'; publish one"
        )
    return name


def is_store(path: Path) -> bool:
    """The kind of a folder: one of versions, or else it must be that of a run.

    Raises:
        ValueError: If it is neither.
    """
    if (path / CONFIG).exists():
        RunFolder.open(path)
        return False
    if not path.is_dir():
        raise ValueError(
            f"Expected the folder of a run or of published versions (got '{path}'); "
            "train a model, or publish one there"
        )
    return True


def check(folder: Path) -> None:
    """Compares the files of a version with their checksums.

    Raises:
        ValueError: If one is not there or is another.

    *Cost:* One read of the files.
    """
    try:
        sums = json.loads((folder / CHECKSUMS).read_text())
        wrong = [name for name, value in sums.items()
                 if checksum(folder / name) != value]  # fmt: skip
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(
            f"Expected a complete version in '{folder.name}' ({error}); publish it anew"
        ) from error
    if wrong:
        raise ValueError(
            f"Expected the files of '{folder.name}' as they were published (got "
            f"another {', '.join(wrong)}); publish it anew"
        )


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
