"""The page that recommends without a server, in a browser, as a visitor uses it."""

import json
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from ltgnn_pyg.export import quantize_rows, to_int8
from ltgnn_pyg.scorers import Vectors, top_k
from tests.export.conftest import write_run
from tests.scripts import ROOT

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
VISIT = """<script>
const names = () => [...document.querySelectorAll(".name")].map((x) => x.textContent);
const click = (place) => document.querySelectorAll("li button")[place].click();
const pages = {};
addEventListener("load", () => setTimeout(() => {
  pages.first = names(); pages.status = $("status").textContent;
  click(1); pages.known = names();
  document.querySelector(".chips button").click(); pages.undone = names();
  choose("ü7"); pages.other = names();
  choose(""); pages.anyone = names();
  click(0); pages.newcomer = names();
  choose("nobody"); pages.nobody = names(); pages.about = $("about").textContent;
  const pre = document.createElement("pre");
  pre.textContent = JSON.stringify(pages);
  document.body.append(pre);
}, 500));
</script></html>"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def address(tmp_path):
    handler = partial(Quiet, directory=tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_a_visit(tmp_path, address):
    run = write_run(tmp_path / "run")
    to_int8(run, tmp_path)
    shutil.copy(ROOT / "examples/offline/reader.js", tmp_path)
    page = (ROOT / "examples/offline/index.html").read_text()
    (tmp_path / "index.html").write_text(page.replace("</html>", VISIT))
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=5000",
    ]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [BROWSER, *flags, profile, "--dump-dom", f"{address}/index.html"]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"<pre>(.*)</pre>", dom)
    assert found is not None, dom
    pages = json.loads(found[1].replace("&lt;", "<").replace("&amp;", "&"))

    user, item = (
        q * a.unsqueeze(1)
        for q, a in map(quantize_rows, (run.vectors.user, run.vectors.item))
    )
    near = Vectors(user, item, run.vectors.item_bias)

    def names(vectors, u, exclude=run.seen):
        _, items = top_k(vectors, 15, user=torch.tensor([u]), exclude=exclude)
        return [run.item_ids[i] for i in items[0].tolist() if i >= 0]

    assert "23 users, 37 items, 6 numbers a row" in pages["status"]
    assert pages["first"] == names(near, 0) == pages["undone"]
    _, items = top_k(near, 37, user=torch.tensor([0]), exclude=run.seen)
    rest = [run.item_ids[i] for i in items[0].tolist() if i >= 0]
    assert pages["known"] == [rest[0], *rest[2:16]]
    assert pages["other"] == names(near, 7)
    anyone = run.vectors.item_bias.argsort(descending=True)
    assert pages["anyone"] == [run.item_ids[i] for i in anyone[:15].tolist()]
    took = int(anyone[0])
    of_took = Vectors(item[took : took + 1], item, run.vectors.item_bias)
    seen = torch.tensor([0, 1]), torch.tensor([took])
    assert pages["newcomer"] == names(of_took, 0, seen)
    assert pages["nobody"] == [] and "nobody" in pages["about"]
