"""Figures for Prometheus add up, over workers too."""

from ltgnn_pyg.serving.metrics import Metrics


def value(text, name):
    (line,) = (row for row in text.splitlines() if row.startswith(name + " "))
    return float(line.rsplit(" ", 1)[1])


def test_requests_are_counted(client):
    for _ in range(3):
        client.get("/api/recommend/u0")
    client.get("/api/recommend/u0?n=0")
    row = {"FeedbackType": "like", "UserId": "a", "ItemId": "i1"}
    client.post("/api/feedback", json=[row])
    client.get("/api/item/x")  # Follows the store at once.
    text = client.get("/metrics").text
    count = 'ltgnn_requests_total{route="recommend",status='
    assert value(text, count + '"2xx"}') == 3 and value(text, count + '"4xx"}') == 1
    assert value(text, 'ltgnn_request_seconds_count{route="recommend"}') == 4
    name = 'ltgnn_request_seconds_bucket{route="recommend",le="+Inf"}'
    assert value(text, name) == 4
    assert value(text, "ltgnn_feedback_rows") == 1
    version = client.get("/health/live").headers["X-Model-Version"]
    assert value(text, f'ltgnn_model_info{{version="{version}"}}') == 1


def test_workers_count_together(tmp_path, monkeypatch):
    first = Metrics(tmp_path)
    first.count("/api/recommend/u0", 200, 0.004)
    monkeypatch.setattr("os.getpid", lambda: 1)
    second = Metrics(tmp_path)
    second.count("/api/recommend/u1", 503, 0.3)
    for metrics in (first, second):
        text = metrics.text("v", 0)
        count = 'ltgnn_requests_total{route="recommend",status='
        assert value(text, count + '"2xx"}') == value(text, count + '"5xx"}') == 1
        bucket = 'ltgnn_request_seconds_bucket{route="recommend",le='
        assert value(text, bucket + '"0.0025"}') == 0
        assert value(text, bucket + '"0.005"}') == 1
        assert value(text, bucket + '"0.5"}') == 2
        assert value(text, 'ltgnn_request_seconds_sum{route="recommend"}') == 0.304
