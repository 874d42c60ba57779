"""Counts of requests and their times, for Prometheus."""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

#: The variable that names the folder several workers count in; prometheus_client reads
#: it when it is imported.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: The first parts of paths, by which requests are counted.
ROUTES = (
    "recommend", "session", "item-to-item", "user-to-user", "feedback", "latest",
    "non-personalized", "items", "users", "health", "other",
)  # fmt: skip
STATUSES = ("2xx", "3xx", "4xx", "5xx")
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)  #: Seconds.


class Metrics:
    """The counts of this process, or, where :obj:`PROMETHEUS_MULTIPROC_DIR` names a
    folder, of all that have counted there, also of those that are no more.
    """

    def __init__(self) -> None:
        self.registry, own = CollectorRegistry(), None
        if FOLDER in os.environ:
            MultiProcessCollector(self.registry)
        else:
            own = self.registry
        requests = Counter(
            "ltgnn_requests", "Answers by route and status", ["route", "status"],
            registry=own,
        )  # fmt: skip
        seconds = Histogram(
            "ltgnn_request_seconds", "Seconds until answers were out", ["route"],
            buckets=BOUNDS, registry=own,
        )  # fmt: skip
        self.requests = {
            route: [requests.labels(route, status) for status in STATUSES]
            for route in ROUTES
        }
        self.seconds = {route: seconds.labels(route) for route in ROUTES}

    def count(self, path: str, status: int, seconds: float) -> None:
        """Counts one answer."""
        name = path[5:].split("/", 1)[0] if path.startswith("/api/") else path[1:7]
        route = name if name in self.seconds else "other"
        self.requests[route][status // 100 - 2].inc()
        self.seconds[route].observe(seconds)

    def text(self, version: str, num_feedback: int) -> bytes:
        """The numbers in Prometheus' form.

        Args:
            version (str): The version that this process serves.
            num_feedback (int): The rows of feedback that it has followed.
        """
        here = CollectorRegistry()
        here.register(_State(version, num_feedback))
        return generate_latest(self.registry) + generate_latest(here)


class _State(Collector):
    """The state of the process that answers, which is not summed over workers."""

    def __init__(self, version: str, num_feedback: int) -> None:
        self.version, self.num_feedback = version, num_feedback

    def collect(self) -> Iterator[Metric]:
        """The version that is served, and the rows of feedback that were followed."""
        model = GaugeMetricFamily(
            "ltgnn_model_info", "The version of the model", labels=["version"]
        )
        model.add_metric([self.version], 1)
        yield model
        rows = "ltgnn_feedback_rows"
        yield GaugeMetricFamily(rows, "Rows of feedback", value=self.num_feedback)
