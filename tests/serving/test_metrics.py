"""Figures for Prometheus add up, over workers too."""

import os
import subprocess
import sys

import pytest

parser = pytest.importorskip("prometheus_client.parser")
COUNT = """
import sys
from ltgnn_pyg.serving.metrics import Metrics
metrics = Metrics()
metrics.count(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
print(metrics.text("v", 0).decode())
"""


def value(text, name, **labels):
    families = parser.text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    (found,) = (x.value for x in samples if x.name == name and x.labels == labels)
    return found


def test_requests_are_counted(client):
    for _ in range(3):
        client.get("/api/recommend/u0")
    client.get("/api/recommend/u0?n=0")
    row = {"FeedbackType": "like", "UserId": "a", "ItemId": "i1"}
    client.post("/api/feedback", json=[row])
    client.get("/api/item/x")  # Follows the store at once.
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    text, route = answer.text, {"route": "recommend"}
    assert value(text, "ltgnn_requests_total", status="2xx", **route) == 3
    assert value(text, "ltgnn_requests_total", status="4xx", **route) == 1
    assert value(text, "ltgnn_requests_total", status="5xx", **route) == 0
    assert value(text, "ltgnn_requests_total", status="4xx", route="other") == 1
    assert value(text, "ltgnn_request_seconds_count", **route) == 4
    assert value(text, "ltgnn_request_seconds_bucket", le="+Inf", **route) == 4
    assert value(text, "ltgnn_feedback_rows") == 1
    version = client.get("/health/live").headers["X-Model-Version"]
    assert value(text, "ltgnn_model_info", version=version) == 1


def test_workers_count_together(tmp_path):
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def count(*words):
        command = [sys.executable, "-c", COUNT, *words]
        return subprocess.run(
            command, env=env, check=True, capture_output=True, text=True
        ).stdout

    count("/api/recommend/u0", "200", "0.004")
    text = count("/api/recommend/u1", "503", "0.3")  # The first is no more.
    route = {"route": "recommend"}
    assert value(text, "ltgnn_requests_total", status="2xx", **route) == 1
    assert value(text, "ltgnn_requests_total", status="5xx", **route) == 1
    for bound, num in (("0.0025", 0), ("0.005", 1), ("0.5", 2)):
        assert value(text, "ltgnn_request_seconds_bucket", le=bound, **route) == num
    assert value(text, "ltgnn_request_seconds_sum", **route) == 0.304
    assert value(text, "ltgnn_model_info", version="v") == 1
