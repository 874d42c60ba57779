"""Counts of requests and their times, summed over the workers of a server."""

import os
from bisect import bisect_left
from mmap import mmap
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

#: What requests are counted by: the first parts of their paths.
ROUTES = (
    "recommend", "session", "item-to-item", "user-to-user", "feedback", "latest",
    "non-personalized", "items", "users", "health", "other",
)  # fmt: skip
STATUSES = ("2xx", "3xx", "4xx", "5xx")
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)  #: Seconds.
WIDTH = len(STATUSES) + len(BOUNDS) + 2  # And above all bounds, and the sum.


class Metrics:
    """A row of numbers a route, in a file a worker: each writes its own, and whoever is
    asked adds up those of all, also of workers that are no more.

    Args:
        folder (str, optional): The folder of the files. If :obj:`None`, a new one.
            (default: :obj:`None`)
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(mkdtemp(prefix="ltgnn_") if folder is None else folder)
        size = len(ROUTES) * WIDTH * 8
        with open(self.folder / f"{os.getpid()}.f64", "ab+") as file:
            file.truncate(size)  # Zeros, or what a process of this number counted.
            self.numbers = memoryview(mmap(file.fileno(), size)).cast("d")

    def count(self, path: str, status: int, seconds: float) -> None:
        """Counts one answer."""
        name = path[5:].split("/", 1)[0] if path.startswith("/api/") else path[1:7]
        route = ROUTES.index(name) if name in ROUTES else len(ROUTES) - 1
        numbers, row = self.numbers, route * WIDTH
        numbers[row + status // 100 - 2] += 1.0
        numbers[row + len(STATUSES) + bisect_left(BOUNDS, seconds)] += 1.0
        numbers[row + WIDTH - 1] += seconds

    def total(self) -> np.ndarray:
        """The numbers of all workers, a row for each route."""
        files = [np.fromfile(path) for path in self.folder.glob("*.f64")]
        total: np.ndarray = np.sum(files, axis=0).reshape(len(ROUTES), WIDTH)
        return total

    def text(self, version: str, num_feedback: int) -> str:
        """The numbers in Prometheus' form."""
        total = self.total()
        lines = ["# TYPE ltgnn_requests_total counter"]
        for route, row in zip(ROUTES, total, strict=True):
            lines += [
                f'ltgnn_requests_total{{route="{route}",status="{status}"}} {count:.0f}'
                for status, count in zip(STATUSES, row, strict=False)
            ]
        lines.append("# TYPE ltgnn_request_seconds histogram")
        for route, row in zip(ROUTES, total, strict=True):
            count = row[len(STATUSES) : -1].cumsum()
            name = f'ltgnn_request_seconds_bucket{{route="{route}",le='
            lines += [
                f'{name}"{bound}"}} {n:.0f}'
                for bound, n in zip((*BOUNDS, "+Inf"), count, strict=True)
            ]
            lines.append(f'ltgnn_request_seconds_sum{{route="{route}"}} {row[-1]:.6f}')
            name = f'ltgnn_request_seconds_count{{route="{route}"}}'
            lines.append(f"{name} {count[-1]:.0f}")
        lines += [
            "# TYPE ltgnn_model_info gauge",
            f'ltgnn_model_info{{version="{version}"}} 1',
            "# TYPE ltgnn_feedback_rows gauge",
            f"ltgnn_feedback_rows {num_feedback}",
        ]
        return "\n".join(lines) + "\n"
