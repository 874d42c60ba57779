"""A real server: several workers, killed in the middle of its work."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from ltgnn_pyg.serving import serve
from ltgnn_pyg.serving.feedback_store import FeedbackStore
from tests.serving.conftest import client_of, make_run

pytest.importorskip("uvicorn")
serve_module = sys.modules["ltgnn_pyg.serving.serve"]
COMMAND = """
import sys
from ltgnn_pyg.serving import serve
serve(sys.argv[1], port=int(sys.argv[2]), workers=int(sys.argv[3]))
"""


class Server:
    """A server in a process of its own, and its workers below."""

    def __init__(self, path, workers):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-c", COMMAND, path, self.port, workers]
        self.process = subprocess.Popen(list(map(str, command)), start_new_session=True)
        self.wait_until_ready()

    def ask(self, method, path, body=None):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Content-Type": "application/json"}
            body = None if body is None else json.dumps(body)
            link.request(method, path, body, headers)
            answer = link.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            link.close()

    def wait_until_ready(self):
        for _ in range(1200):
            assert self.process.poll() is None, "the server has ended"
            try:
                if self.ask("GET", "/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("not ready")

    def is_gone(self):
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", self.port)) != 0

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(30)


def test_nothing_acknowledged_is_lost(tmp_path):
    run = make_run(tmp_path / "run")
    server = Server(run.path, workers=2)
    acknowledged, stop = [], threading.Event()

    def post(number):
        for turn in range(10_000):
            if stop.is_set():
                return
            row = {"FeedbackType": "like", "UserId": f"w{number}", "ItemId": f"x{turn}"}
            try:
                status, body, _ = server.ask("POST", "/api/feedback", [row, row])
            except (OSError, http.client.HTTPException):
                return
            if status == 200 and json.loads(body) == {"RowAffected": 1}:
                acknowledged.append((row["UserId"], row["ItemId"]))

    threads = [threading.Thread(target=post, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 100:
        time.sleep(0.005)
    # Both workers count in one place; of each thread, an answer may be in flight.
    sure, text = len(acknowledged) - 4, server.ask("GET", "/metrics")[1].decode()
    counted = re.search(r'_total{route="feedback",status="2xx"} (\d+)', text)
    assert int(counted[1]) >= sure
    os.killpg(server.process.pid, signal.SIGKILL)  # Server and workers, at once.
    stop.set()
    for thread in threads:
        thread.join()
    server.process.wait(30)
    store = FeedbackStore(run.path)
    for number in range(4):
        kept = {item for _, item in store.of_user(f"w{number}")}
        assert {item for user, item in acknowledged if user == f"w{number}"} <= kept
    rows = store.since(0)
    assert len(acknowledged) <= len(rows) <= len(acknowledged) + 4  # In flight.
    store.close()

    with client_of(run.path) as client:  # Started anew.
        client.get("/api/item/any")  # Follows the store at once.
        text = client.get("/metrics").text
        assert f"ltgnn_feedback_rows {len(rows)}" in text
        answer = client.get("/api/recommend/w0", params={"n": 1000})
        own = {item for user, item in acknowledged if user == "w0"}
        assert answer.status_code == 200 and not own & set(answer.json())


@pytest.mark.slow
def test_workers_end_with_their_server(tmp_path):
    server = Server(make_run(tmp_path / "run").path, workers=2)
    server.kill()  # The one that started them only.
    for _ in range(600):
        if server.is_gone():
            return
        time.sleep(0.05)
    os.killpg(server.process.pid, signal.SIGKILL)
    raise AssertionError("workers are left")


def test_workers_follow_their_server(monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda *args: killed.append(args))
    sentinel, server = os.pipe()
    thread = threading.Thread(target=serve_module._follow, args=(sentinel,))
    thread.start()
    assert not killed
    os.close(server)
    thread.join(20)
    os.close(sentinel)
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_a_taken_port_is_named(tmp_path):
    run = make_run(tmp_path / "run")
    with serve_module.bind("127.0.0.1", 0) as listener:
        option = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert option  # Answers do not wait for each other.
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port}"):
            serve(run.path, port=port)


def test_arguments_are_checked(tmp_path):
    run = make_run(tmp_path / "run")
    for wrong in ({"workers": 0}, {"port": 0}, {"port": 65_536}):
        with pytest.raises(ValueError, match="Expected 'workers'"):
            serve(run.path, **wrong)
    with pytest.raises(ValueError, match="folder of a run"):
        serve(tmp_path / "nothing")


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    module = sys.modules["ltgnn_pyg.serving.create_app"]
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"ltgnn_pyg\[serve\]"):
        serve(tmp_path)
