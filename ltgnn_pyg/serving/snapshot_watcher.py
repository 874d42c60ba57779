"""The version that is served now, and the thread that looks for the next one."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from ltgnn_pyg.serving.feedback_counts import FeedbackCounts
from ltgnn_pyg.serving.snapshot import Snapshot
from ltgnn_pyg.serving.versions import CURRENT, current, is_store, versions

SECONDS = 1.0  #: Between two looks.
log = logging.getLogger("ltgnn_pyg.serving")


class SnapshotWatcher:
    """The version that is served: one attribute, :attr:`snapshot`, which requests read
    once, when they enter.

    A new version is opened, checked and warmed beside the old one, which ends with the
    last request that holds it. A broken one is refused, and the old one goes on.

    Args:
        path (str): The folder of a run, or of versions that
            :func:`~ltgnn_pyg.serving.publish` writes.
        counts (FeedbackCounts): The counts that follow the store, in the same thread.

    Raises:
        ValueError: If it is neither.
    """

    def __init__(self, path: str | os.PathLike[str], counts: FeedbackCounts) -> None:
        self.path, self.counts = Path(path), counts
        self.snapshot: Snapshot | None = None
        self.is_store = is_store(self.path)
        self._seen: tuple[int, int] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Loads the model, and looks for others from then on, in a thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watcher")
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.counts.store.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
                self.counts.follow()
            except Exception:  # A disk that is full now may not be so later.
                log.exception("Could not look for a new version")
            self._stop.wait(SECONDS)
        self.counts.store.close()

    def look(self) -> None:
        """Takes up a new version, if there is one."""
        if not self.is_store:
            if self.snapshot is None:
                self._take(Snapshot.of_run, self.path)
            return
        try:
            state = (self.path / CURRENT).stat()
        except FileNotFoundError:
            return
        if self._seen == (state.st_mtime_ns, state.st_ino):
            return
        self._seen = (state.st_mtime_ns, state.st_ino)
        try:
            name = current(self.path)
        except ValueError as error:
            log.error("%s", error)
            name = None
        if name is not None and self._take(Snapshot.of_version, self.path / name):
            return
        for older in reversed(versions(self.path)):  # At a start, better than nothing.
            if self.snapshot is not None:
                return
            if older != name:
                self._take(Snapshot.of_version, self.path / older)

    def _take(self, load: Callable[[Path], Snapshot], folder: Path) -> bool:
        if self.snapshot is not None and self.snapshot.version == folder.name:
            return True
        try:
            snapshot = load(folder)
            snapshot.warm()
        except Exception as error:
            log.error("Refused version '%s': %s", folder.name, error)
            return False
        self.snapshot = snapshot
        log.info("Serving version '%s'", snapshot.version)
        return True
