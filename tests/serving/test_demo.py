"""The page that shows it, in a real browser where there is one."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import threading
import time

import pytest

from ltgnn_pyg.serving import create_app
from tests.serving.conftest import make_run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """Chromium without a window, led over a pair of pipes."""

    def __init__(self, folder):
        (read, self.into), (self.out, write) = os.pipe(), os.pipe()
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
        ]
        flags += [f"--user-data-dir={folder}", "--window-size=390,800", "about:blank"]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (read, write)]
        self.process = subprocess.Popen(
            [CHROMIUM, *flags],
            pass_fds=(3, 4),  # Where it reads and writes.
            preexec_fn=lambda: [os.dup2(fd, 3 + n) for n, fd in enumerate(high)],
            stderr=subprocess.DEVNULL,
        )
        for fd in high:
            os.close(fd)
        os.close(read)
        os.close(write)
        self.watchdog = threading.Timer(60, self.process.kill)
        self.watchdog.start()
        self.number, self.events, self.session = 0, [], None
        self.rest = b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attach = {"targetId": target, "flatten": True}
        self.session = self.call("Target.attachToTarget", **attach)["sessionId"]
        for name in ("Page", "Network", "Runtime"):
            self.call(f"{name}.enable")

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def read(self):
        while b"\0" not in self.rest:
            block = os.read(self.out, 2**16)
            assert block, "the browser has ended"
            self.rest += block
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def value(self, expression):
        params = {"expression": expression, "returnByValue": True}
        result = self.call("Runtime.evaluate", awaitPromise=True, **params)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression):
        for _ in range(400):
            if self.value(expression):
                return
            time.sleep(0.02)
        raise AssertionError(expression)

    def close(self):
        self.watchdog.cancel()
        self.process.kill()
        self.process.wait()
        os.close(self.into)
        os.close(self.out)


@pytest.fixture
def address(tmp_path):
    """A real server, in a thread."""
    uvicorn = pytest.importorskip("uvicorn")
    app = create_app(make_run(tmp_path / "run").path)
    config = uvicorn.Config(app, port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    _, port = server.servers[0].sockets[0].getsockname()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_the_page_asks_nobody_else(client):
    page = client.get("/").text
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", page)
    links = set(re.findall(r"https?://[^\"'\s]+", page))
    assert links == {"http://www.w3.org/2000/svg"}  # A name, not an address.
    assert '<meta name="viewport"' in page and '<html lang="en">' in page
    for field in re.findall(r'<input [^>]*id="(\w+)"', page):
        assert f'<label for="{field}">' in page


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_like_changes_the_list(address, tmp_path):
    names = "[...document.querySelectorAll('.name')].map((x) => x.textContent)"
    browser = Browser(tmp_path / "profile")
    try:
        browser.call("Page.navigate", url=f"{address}/#user=u0")
        browser.wait("document.querySelectorAll('#map rect').length === 144")
        first = browser.value(names)
        assert len(first) == 12
        assert browser.value("document.querySelector('.tag').textContent") == "own"
        # A like, by the keyboard.
        browser.value("document.querySelector('#list button').focus()")
        for kind in ("keyDown", "keyUp"):
            key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
            browser.call("Input.dispatchKeyEvent", type=kind, text="\r", **key)
        browser.wait("document.querySelector('.tag').textContent === 'fold-in'")
        second = browser.value(names)
        assert first[0] not in second and len(second) == 12
        browser.wait("document.activeElement.textContent.includes('Like')")
        # Another lambda, another list.
        browser.value(
            "(() => { const slider = document.getElementById('lambda');"
            "slider.value = 0.2; slider.dispatchEvent(new Event('input')); })()"
        )
        browser.wait(f"JSON.stringify({names}) !== {json.dumps(json.dumps(second))}")
        # Items that somebody has just liked.
        browser.value(
            "(() => { const items = document.getElementById('items');"
            "items.value = 'i3, i4'; items.dispatchEvent(new Event('change')); })()"
        )
        browser.wait("document.getElementById('says').textContent.includes('i3, i4')")
        # On a phone nothing sticks out.
        width = "document.documentElement.scrollWidth <= window.innerWidth"
        assert browser.value(width)
        asked = [
            event["params"]["request"]["url"]
            for event in browser.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        assert len(asked) > 5
        assert all(url.startswith((address, "data:", "about:")) for url in asked)
        wrong = [e for e in browser.events if "exceptionThrown" in e.get("method", "")]
        assert not wrong
    finally:
        browser.close()
