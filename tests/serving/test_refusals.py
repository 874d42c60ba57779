"""Bad input gets a sentence, a number from 400 to 499, and nothing of this machine."""

import json

import pytest

from tests.serving.conftest import client_of, make_run

ROW = {"FeedbackType": "like", "UserId": "a", "ItemId": "i1"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """One for all of them: what is refused leaves nothing behind."""
    with client_of(make_run(tmp_path_factory.mktemp("run")).path) as client:
        yield client


def refused(answer, status=400):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"} and 10 < len(body["error"]) < 300
    text = body["error"]
    assert "Traceback" not in text and ".py" not in text and "/tmp" not in text
    assert "\n" not in text and answer.headers["X-Model-Version"]
    return text


@pytest.mark.parametrize("query", [
    "n=0", "n=-1", "n=1000000000", "n=x", "n=", "n=1.5", "n=NaN", f"n={'9' * 5000}",
    "offset=-1", "offset=1e3", "offset=99999999999", "lambda=nan", "lambda=inf",
    "lambda=-0.1", "lambda=2", "lambda=a%00b", "category=x", "%00=1", "n=1%0A2",
])  # fmt: skip
def test_numbers(client, query):
    refused(client.get(f"/api/recommend/u0?{query}"))
    if not query.startswith("lambda"):
        refused(client.get(f"/api/latest?{query}"))


@pytest.mark.parametrize("user", ["%00", "a%0Bb", "%7F", "a" * 257, "%C2%85"])
def test_ids(client, user):
    refused(client.get(f"/api/recommend/{user}"))
    refused(client.get(f"/api/item-to-item/neighbors/{user}"))
    refused(client.get(f"/api/item/{user}"))


@pytest.mark.parametrize("path", [
    "/api/item-to-item/neighbors/unheard", "/api/user-to-user/neighbors/unheard",
    "/api/item-to-item/other/i1", "/api/non-personalized/other", "/api/item/unheard",
    "/nothing", "/api/recommend/a%0Ab", "/api/recommend/", "/api/../etc/passwd",
    "/static/x",
])  # fmt: skip
def test_what_is_not_there(client, path):
    answer = client.get(path)
    refused(answer, answer.status_code)
    assert answer.status_code in (400, 404)


def test_other_methods(client):
    refused(client.delete("/api/recommend/u0"), 405)
    refused(client.get("/api/feedback"), 405)
    refused(client.post("/"), 405)


@pytest.mark.parametrize("body", [
    b"", b"{", b"nonsense", b"\xff\xfe", b"\x00", b"null", b"3", b'"a"', b"{}",
    b"[1]", b"[null]", b"[[]]", b"[" * 100_000, b'{"a":' * 100_000,
    b"[" + b"9" * 5000 + b"]",
])  # fmt: skip
def test_broken_bodies(client, body):
    for path in ("/api/feedback", "/api/session/recommend"):
        refused(client.post(path, content=body, headers=JSON))
    refused(client.put("/api/feedback", content=body, headers=JSON))
    refused(client.patch("/api/item/i1", content=body, headers=JSON))
    refused(client.post("/api/similarity", content=body, headers=JSON))


@pytest.mark.parametrize("change", [
    {"UserId": None}, {"UserId": 3}, {"UserId": ""}, {"UserId": "a\x00"},
    {"ItemId": ["i1"]}, {"ItemId": "x" * 257}, {"ItemId": "\ud800"}, {"ItemId": "\x85"},
    {"FeedbackType": ""}, {"FeedbackType": {}}, {"Value": "1"}, {"Value": True},
    {"Value": float("nan")}, {"Value": float("inf")}, {"Value": 10**400},
    {"Value": None}, {"Timestamp": "yesterday"}, {"Timestamp": 5},
    {"Timestamp": "\x00"}, {"Timestamp": "2026-13-01T00:00:00Z"},
])  # fmt: skip
def test_wrong_feedback(client, change):
    right = {**ROW, "UserId": ascii(change)[:40]}
    body = json.dumps([right, {**ROW, **change}]).encode()
    refused(client.post("/api/feedback", content=body, headers=JSON))
    # Not even the row that was right.
    assert client.post("/api/feedback", json=[right]).json() == {"RowAffected": 1}


def test_large_bodies(client):
    body = b"[" + b" " * 2**20 + b"]"
    refused(client.post("/api/feedback", content=body, headers=JSON), 413)

    def chunks():  # Without a length.
        for _ in range(40):
            yield b" " * 2**15

    refused(client.post("/api/feedback", content=chunks(), headers=JSON), 413)
    refused(client.post("/api/similarity", json=["i1"] * 101))


def test_other_content(client):
    """A form, or text, is what a foreign page can send without asking."""
    body = json.dumps([ROW])
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": kind}
        refused(client.post("/api/feedback", content=body, headers=headers), 415)


def test_hiding_takes_a_boolean(client):
    for body in ({"IsHidden": 1}, {}, {"IsHidden": True, "Labels": []}, []):
        refused(client.patch("/api/item/i1", json=body))
    refused(client.patch("/api/item/unheard", json={"IsHidden": True}), 404)


def test_the_key(run):
    with client_of(run.path, api_key="Schlüssel") as client:
        for path in ("/api/recommend/u0", "/metrics", "/docs", "/openapi.json"):
            refused(client.get(path), 401)
            wrong = {"X-API-Key": "Schlussel"}
            refused(client.get(path, headers=wrong), 401)
            right = {"X-API-Key": "Schlüssel".encode()}
            assert client.get(path, headers=right).status_code == 200
        for path in ("/", "/health/live", "/health/ready"):
            assert client.get(path).status_code == 200


def test_what_nobody_caught_is_a_sentence(client, monkeypatch):
    from ltgnn_pyg.serving.feedback_counts import FeedbackCounts

    monkeypatch.setattr(FeedbackCounts, "follow_hidden", lambda self: 1 / 0)
    refused(client.get("/api/recommend/u0"), 500)
    text = client.get("/metrics").text
    assert 'ltgnn_requests_total{route="recommend",status="5xx"} 1' in text


def test_sentences(client):
    """They name what is wrong, and what it should be."""
    for query, text in {
        "n=x": "Expected 'n' as a whole number (got 'x')",
        "n=1001": "Expected 'n' as a number up to 1000 (got '1001')",
        "offset=1_0": "Expected 'offset' as a whole number (got '1_0')",
        "lambda=2": "Expected 'lambda' as a number up to 1 (got '2')",
        "m=3": "Expected no 'm' (got '3'); leave it out",
    }.items():
        assert refused(client.get(f"/api/recommend/u0?{query}")) == text
    answer = client.get("/api/non-personalized/other")
    assert refused(answer, 404) == "Expected 'name' as 'popular' (got 'other')"
    for change, text in (
        ({"ItemId": ""}, "Expected 'ItemId' of row 1 of at least 1 character (got '')"),
        ({"Value": "1"}, "Expected 'Value' of row 1 as a number (got '1')"),
        (
            {"Timestamp": 5},
            "Expected 'Timestamp' of row 1 as in '2026-01-31T12:00:00Z' (got 5)",
        ),
    ):
        answer = client.post("/api/session/recommend", json=[ROW, {**ROW, **change}])
        assert refused(answer) == text
    row = {"FeedbackType": "like", "UserId": "a"}
    text = refused(client.post("/api/feedback", json=[row]))
    assert text == "Expected 'ItemId' of row 0 (got none)"
    assert refused(client.put("/api/feedback?a=1", json=[])).startswith("Expected no")


def test_limits_are_those_of_the_page(client):
    """/docs and the refusals come from one declaration."""
    schema = client.get("/openapi.json").json()
    path = schema["paths"]["/api/recommend/{user_id}"]["get"]
    found = {row["name"]: row["schema"] for row in path["parameters"]}
    assert found["n"]["maximum"] == 1000 and found["n"]["default"] == 10
    assert found["offset"]["maximum"] == 10_000 and found["lambda"]["maximum"] == 1
    assert found["user_id"]["maxLength"] == 256
    assert set(path["responses"]) == {"200", "4XX"}
    parts = schema["components"]["schemas"]
    assert set(parts["Feedback"]["required"]) == {"FeedbackType", "UserId", "ItemId"}
    assert parts["Feedback"]["properties"]["Timestamp"]["format"] == "date-time"
