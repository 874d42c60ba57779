"""How fast lists are served, while the model is replaced and after a crash, too.

    python benchmarks/serving.py --root data --json out.jsonl

Starts the server in processes of its own on this machine, and asks it by
`benchmarks/load.py`, which takes part of the same processor. The interactions are those
of the set, the vectors random ones of length 1: times do not depend on how good they
are; --run serves a trained run instead. `bare_ms` is what a list takes without a
server: the median of `top_k` for one user, in one thread with nothing beside it;
`search_ms` the same of the server's own search.

* load: for each number of workers and clients.
* refresh: 8 clients, while new versions are published.
* crash: 8 clients, a tenth of whose requests are feedback, while the server and its
  workers are killed by SIGKILL at once, and started again at once. Requests that lose
  their connection, or are refused one, are sent again until they are answered, as any
  client must; `failed` are those that got another answer than 200 or none, `retried`
  those that were sent more than once, `lost` acknowledged feedback that is not in the
  store, `down_s` the longest time without an answer.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from record import arguments, begin, seconds, write
from sets import load_split
from torch.nn.functional import normalize

from ltgnn_pyg.retrieval import top_k
from ltgnn_pyg.runs.run_folder import RunFolder
from ltgnn_pyg.scorers import Vectors
from ltgnn_pyg.serving import publish
from ltgnn_pyg.serving.feedback_store import FeedbackStore
from ltgnn_pyg.serving.snapshot import Snapshot

parser = arguments(__doc__, threads=1)
parser.add_argument("--run", type=Path, help="the folder of a trained run")
parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
args = begin(parser)
HERE = Path(__file__).parent
START = """
import sys
from ltgnn_pyg.serving import serve
serve(sys.argv[1], port=int(sys.argv[2]), workers=int(sys.argv[3]))
"""
FEW, NUM = 8, 500  # Clients while things happen; users of the bare ranking.


def make_run(folder: Path) -> Path:
    """A run on the interactions of the set, with random vectors."""
    split = load_split(args.dataset, args.root)
    size = split.train.num_users, split.train.num_items
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(sum(size), args.embedding_dim, generator=generator)
    degree = torch.bincount(split.train.item, minlength=size[1])
    bias = 0.12 * degree.clamp(min=1).log()
    vectors = Vectors.from_embedding(normalize(rows), size[0], bias)
    return RunFolder.write(
        folder, vectors, split, {"model": {"settings": {"alpha": 0.1}}}
    ).path


def median_ms(make: Callable[[int], Any]) -> float:
    """The median milliseconds of a call for each of some users."""
    times = [seconds(lambda user=user: make(user)) for user in range(NUM)]
    return round(1000 * median(times[NUM // 10 :]), 3)


def bare(snapshot: Snapshot) -> dict[str, float]:
    """What a list takes without a server."""
    rows = snapshot.vectors
    asked = [user % rows.num_users for user in range(NUM)]
    seen = [snapshot.seen(user) for user in asked]
    some = Vectors(rows.user[asked], rows.item, rows.item_bias)
    num = torch.tensor([0, *(len(items) for items in seen)])
    exclude = num.cumsum(0), torch.cat(seen)
    users = torch.arange(NUM).split(1)
    return {
        "bare_ms": median_ms(lambda u: top_k(some, 10, user=users[u], exclude=exclude)),
        "search_ms": median_ms(lambda u: snapshot.search(some.user[u], 10, seen[u])),
    }


class Server:
    """A server in processes of its own, until it is killed."""

    def __init__(self, path: Path, workers: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = sys.executable, "-c", START, path, self.port, workers
        self.command = list(map(str, command))
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it has a model."""
        self.process = subprocess.Popen(self.command, start_new_session=True)
        while self.process.poll() is None:
            try:
                url = f"http://127.0.0.1:{self.port}/health/ready"
                with urllib.request.urlopen(url, timeout=10):
                    return
            except OSError:
                time.sleep(0.05)
        raise SystemExit("Expected a server that starts (got none); see above")

    def kill(self) -> None:
        """Kills it and its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(path: Path, workers: int) -> Iterator[Server]:
    """A server that is gone in the end."""
    server = Server(path, workers)
    try:
        yield server
    finally:
        server.kill()


def clients(server: Server, users: Path, num: int, span: float, **options: float):
    """Starts clients; they print what they saw when they end."""
    command = [sys.executable, HERE / "load.py", "--port", server.port]
    command += ["--users", users, "--clients", num, "--seconds", span]
    command += [x for name, value in options.items() for x in (f"--{name}", value)]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen) -> dict:
    """What clients saw."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit("Expected clients that end well; see above")
    seen = json.loads(out)
    wrong = seen["failed"]
    return {**seen, "failed": len(wrong), "answers": sorted(set(wrong))}


with TemporaryDirectory() as temporary:
    folder = Path(temporary)
    run = args.run or make_run(folder / "run")
    store, users = folder / "store", folder / "users.txt"
    publish(run, store)
    snapshot = Snapshot.of_version(store / "000001")
    generator = torch.Generator().manual_seed(1)
    some = torch.randint(snapshot.vectors.num_users, (5000,), generator=generator)
    users.write_text("\n".join(snapshot.user_ids[u] for u in some.tolist()))
    size = {"num_users": len(snapshot.user_ids), "num_items": len(snapshot.item_ids)}
    about = {**size, "embedding_dim": snapshot.vectors.dim}
    if args.run:
        about["dataset"] = "run"

    for workers in args.workers:
        with serving(store, workers) as server:
            result(clients(server, users, FEW, 1.0))  # Warms up.
            for num in args.clients:
                about |= bare(snapshot)  # With nothing beside it.
                seen = result(clients(server, users, num, args.seconds))
                del seen["acknowledged"]
                write(args, {**about, "section": "load", "workers": workers, **seen})

            process = clients(server, users, FEW, args.seconds)
            published = []
            for _ in range(3):
                time.sleep(args.seconds / 5)
                published.append(publish(run, store))
            seen = result(process)
            del seen["acknowledged"]
            line = {"section": "refresh", "workers": workers, "published": published}
            write(args, {**about, **line, **seen})

            more = {"posts": 0.1, "seed": workers}
            process = clients(server, users, FEW, 2 * args.seconds, **more)
            time.sleep(args.seconds / 2)
            server.kill()
            server.start()
            seen = result(process)
            kept = {item for _, item, _ in FeedbackStore(store).since(0)}
            named = [item for _, item in seen.pop("acknowledged")]
            line = {
                "section": "crash", "workers": workers, "acknowledged": len(named),
                "lost": len(set(named) - kept), "down_s": seen["longest_gap_s"],
            }  # fmt: skip
            write(args, {**about, **line, **seen})
