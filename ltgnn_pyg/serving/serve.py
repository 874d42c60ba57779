"""From a folder to a server."""

import logging
import os
import signal
import socket
import threading
from ipaddress import ip_address
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.serving.create_app import check_packages
from ltgnn_pyg.serving.tables import ensure_tables
from ltgnn_pyg.serving.versions import is_store

if TYPE_CHECKING:
    from fastapi import FastAPI

SETTINGS = ("PATH", "KEY", "THREADS")
PREFIX = "LTGNN_SERVE_"
COUNTED = "PROMETHEUS_MULTIPROC_DIR"  #: The folder that workers count requests in.
log = logging.getLogger("ltgnn_pyg.serving")


def serve(
    path: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    api_key: str | None = None,
) -> None:
    r"""Serves a trained model over HTTP until it is stopped.

    .. code-block:: python

        if __name__ == "__main__":  # Workers import the script again.
            serve("run", workers=2)  # Then open http://127.0.0.1:8000

    The paths are those of `Gorse <https://gorse.io>`_, a list at
    :obj:`/api/recommend/{user_id}?n=10`; :obj:`/docs` shows all of them, :obj:`/` is a
    page to try them by. Feedback posted to :obj:`/api/feedback` is on the disk before
    it is acknowledged, and changes the next list. A model that
    :func:`~ltgnn_pyg.serving.publish` adds to the folder is taken up while requests go
    on.

    Args:
        path (str): The folder of a run, see
            :class:`~ltgnn_pyg.runs.run_folder.RunFolder`, or of versions.
        host (str, optional): The address to listen at, this machine alone by default.
            (default: :obj:`"127.0.0.1"`)
        port (int, optional): The port. (default: :obj:`8000`)
        workers (int, optional): Processes; they share the tables, which are mapped into
            memory, and the feedback. (default: :obj:`1`)
        api_key (str, optional): The key that requests must bring as :obj:`X-API-Key`.
            (default: :obj:`None`)

    Raises:
        ValueError: If there is nothing to serve, an argument is out of its range, or
            the port is taken.
        ImportError: If FastAPI, prometheus-client or uvicorn are not there.

    *Cost:* A list takes O(I D).
    """
    check_packages("fastapi", "prometheus_client", "uvicorn")
    import uvicorn

    if workers < 1 or not 0 < port < 2**16:
        raise ValueError(
            f"Expected 'workers' >= 1 and 'port' in 1..65535 (got {workers} and {port})"
        )
    if not is_store(Path(path)):
        ensure_tables(RunFolder.open(path))  # Once, for all workers.
    if api_key is None and not _is_loopback(host):
        log.warning("Anybody who can reach '%s' can read and write; set a key", host)
    with bind(host, port) as listener, TemporaryDirectory(prefix="ltgnn_") as folder:
        threads = max((os.cpu_count() or 1) // workers, 1)
        values = (os.fspath(path), api_key, str(threads))
        for name, value in zip(SETTINGS, values, strict=True):
            os.environ.pop(PREFIX + name, None)
            if value is not None:
                os.environ[PREFIX + name] = value
        if workers > 1:
            os.environ.setdefault(COUNTED, folder)
        try:
            uvicorn.run(
                "ltgnn_pyg.serving.serve:app_of_worker",
                factory=True,
                fd=listener.fileno(),
                workers=workers,
                log_level="warning",
                access_log=False,
            )
        finally:
            if os.environ.get(COUNTED) == folder:
                del os.environ[COUNTED]


def bind(host: str, port: int) -> socket.socket:
    """A socket to listen at.

    The connections it accepts send at once: an answer goes out in two writes, and the
    second would wait 40 ms for the first to be acknowledged.

    Raises:
        ValueError: If the address is taken, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ValueError(
            f"Expected an address to listen at (got '{host}' and port {port}: "
            f"{error.strerror}); choose another"
        ) from error
    return listener


def app_of_worker() -> "FastAPI":
    """The application of a worker, as the environment describes it."""
    from ltgnn_pyg.serving.application import application

    torch.set_num_threads(1)  # Requests are what runs side by side.
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    path, key, threads = (os.environ.get(PREFIX + name) for name in SETTINGS)
    assert path is not None and threads is not None
    return application(path, key, int(threads))


def _follow(sentinel: int) -> None:
    """Ends a worker with the process that started it, even if that was killed."""
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
