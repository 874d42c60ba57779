"""A new version is taken up while requests go on; a broken one never is."""

import json
import logging
import os
import threading
import time

import pytest
import torch

from ltgnn_pyg.scorers import top_k
from ltgnn_pyg.serving import publish
from ltgnn_pyg.serving import snapshot_watcher as module
from ltgnn_pyg.serving.feedback_counts import FeedbackCounts
from ltgnn_pyg.serving.feedback_store import FeedbackStore
from ltgnn_pyg.serving.snapshot import Snapshot
from ltgnn_pyg.serving.snapshot_watcher import SnapshotWatcher
from tests.serving.conftest import client_of, item_id, make_run


@pytest.fixture
def runs(tmp_path):
    return [make_run(tmp_path / f"run{seed}", seed) for seed in range(4)]


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.01)


def until(client, version):
    """Asks until a version answers."""
    for _ in range(1000):
        answer = client.get("/health/ready")
        if answer.headers["X-Model-Version"] == version:
            return client.get("/api/recommend/u0").json()
        time.sleep(0.01)
    raise AssertionError(f"no answer of {version}")


def expected(run):
    _, item = top_k(run.vectors, 10, user=torch.tensor([0]), exclude=run.seen)
    return [item_id(i) for i in item[0].tolist()]


def test_versions_follow_each_other(runs, store):
    assert publish(runs[0].path, store) == "000001"
    with client_of(store) as client:
        assert until(client, "000001") == expected(runs[0])
        for number, run in enumerate(runs[1:], 2):
            name = publish(run.path, store)
            assert name == f"{number:06d}"
            assert until(client, name) == expected(run)
        text = client.get("/metrics").text
        assert 'ltgnn_model_info{version="000004"} 1' in text
        assert 'ltgnn_requests_total{route="recommend",status="5xx"} 0' in text
    left = sorted(path.name for path in store.iterdir() if path.is_dir())
    assert left == ["000003", "000004"]  # The one before stays.
    (store / "CURRENT").write_text("000003\n")  # The way back.
    with client_of(store) as client:
        assert until(client, "000003") == expected(runs[2])


def test_ready_is_false_only_before_the_first(runs, store):
    from fastapi.testclient import TestClient

    from ltgnn_pyg.serving import create_app

    store.mkdir()
    with TestClient(create_app(store)) as client:
        assert client.get("/health/live").status_code == 200
        for path in ("/health/ready", "/api/recommend/u0", "/api/latest"):
            answer = client.get(path)
            assert answer.status_code == 503 and "error" in answer.json()
            assert answer.headers["X-Model-Version"] == "none"
        publish(runs[0].path, store)
        for _ in range(1000):
            if client.get("/health/ready").status_code == 200:
                break
        until(client, "000001")


def damage_bytes(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def damage_length(folder):
    path = folder / "interactions.parquet"
    path.write_bytes(path.read_bytes()[:-7])


def damage_files(folder):
    (folder / "ids.parquet").unlink()


def damage_sums(folder):
    (folder / "checksums.json").write_text("[]")


def damage_numbers(folder):
    """Written so, not broken on its way: the checksums are right."""
    from safetensors.torch import load_file, save_file

    from ltgnn_pyg.serving.versions import checksum

    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = "scorer.vectors.item"
    save_file({**tensors, name: tensors[name] * torch.nan}, path)
    sums = json.loads((folder / "checksums.json").read_text())
    sums["model.safetensors"] = checksum(path)
    (folder / "checksums.json").write_text(json.dumps(sums))


@pytest.mark.parametrize(
    "damage",
    [damage_bytes, damage_length, damage_files, damage_sums, damage_numbers],
)
def test_broken_versions_are_refused(runs, store, caplog, damage):
    publish(runs[0].path, store)
    watcher = SnapshotWatcher(store, FeedbackCounts(FeedbackStore(store)))
    watcher.look()
    first = watcher.snapshot
    assert first.version == "000001"
    publish(runs[1].path, store)
    damage(store / "000002")
    with caplog.at_level(logging.ERROR, "ltgnn_pyg.serving"):
        watcher.look()
        watcher.look()
    assert (
        len(caplog.records) == 1 and "000002" in caplog.text
    )  # Once, not each second.
    assert watcher.snapshot is first
    publish(runs[2].path, store)
    watcher.look()
    assert watcher.snapshot.version == "000003"
    # A server that starts on a broken version takes the one before.
    publish(runs[3].path, store)
    damage(store / "000004")
    watcher = SnapshotWatcher(store, FeedbackCounts(FeedbackStore(store)))
    watcher.look()
    assert watcher.snapshot.version == "000003"


@pytest.mark.parametrize("text", ["", "nonsense", "../../etc", "000099", b"\xff\x00"])
def test_a_wrong_name_is_refused(runs, store, text):
    publish(runs[0].path, store)
    watcher = SnapshotWatcher(store, FeedbackCounts(FeedbackStore(store)))
    watcher.look()
    data = text if isinstance(text, bytes) else text.encode()
    (store / "beside").write_bytes(data)
    os.replace(store / "beside", store / "CURRENT")
    watcher.look()
    assert watcher.snapshot.version == "000001"


def test_requests_end_on_the_version_they_began_with(runs, store, monkeypatch):
    publish(runs[0].path, store)
    began, go_on, answers = threading.Event(), threading.Event(), []
    search = Snapshot.search

    def slow(self, query, k, exclude):
        if self.version == "000001":
            began.set()
            assert go_on.wait(20)
        return search(self, query, k, exclude)

    with client_of(store) as client:
        monkeypatch.setattr(Snapshot, "search", slow)
        thread = threading.Thread(
            target=lambda: answers.append(client.get("/api/recommend/u0"))
        )
        thread.start()
        assert began.wait(20)
        publish(runs[1].path, store)
        until(client, "000002")
        go_on.set()
        thread.join()
    assert answers[0].headers["X-Model-Version"] == "000001"
    assert answers[0].json() == expected(runs[0])


def test_publishing_that_fails_changes_nothing(runs, store, monkeypatch):
    publish(runs[0].path, store)
    before = sorted(path.name for path in store.iterdir())
    monkeypatch.setattr("ltgnn_pyg.serving.versions.sync", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publish(runs[1].path, store)
    assert sorted(path.name for path in store.iterdir()) == before
    with pytest.raises(ValueError, match="finished run"):
        publish(store, store)


def test_feedback_outlives_versions(runs, store):
    publish(runs[0].path, store)
    with client_of(store) as client:
        first = until(client, "000001")[0]
        row = {"FeedbackType": "like", "UserId": "u0", "ItemId": first}
        client.post("/api/feedback", json=[row])
        publish(runs[1].path, store)
        assert first not in until(client, "000002")


def test_what_cannot_be_served(tmp_path):
    with pytest.raises(ValueError, match="folder of a run"):
        SnapshotWatcher(tmp_path / "nothing", None)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="finished run"):
        SnapshotWatcher(tmp_path, None)
    run = make_run(tmp_path / "run")
    for text in ("[]", "{", '{"format": 1}'):
        (run.path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"Expected .*(JSON|format 2)"):
            SnapshotWatcher(run.path, None)


def test_a_run_that_is_trained_anew_gets_new_tables(tmp_path):
    run = make_run(tmp_path / "run")
    one = Snapshot.of_run(run.path)
    assert Snapshot.of_run(run.path).version == one.version
    make_run(tmp_path / "run", seed=1)
    two = Snapshot.of_run(run.path)
    assert two.version != one.version
    rows = two.vectors.item.norm(dim=1)
    torch.testing.assert_close(two._norms["item"], rows)
