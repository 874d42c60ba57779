"""The time of served lists, while the model is replaced and after a crash, too.

    python benchmarks/serving.py --root data --json out.jsonl

Starts the server in processes of its own on this machine, and asks it by
`benchmarks/load.py`, which takes part of the same processor. The interactions are those
of the set, the vectors random ones of length 1: times do not depend on how good they
are. `bare_ms` is what a list takes without a
server: the median of `top_k` for one user, in one thread with nothing beside it.

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
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from record import arguments, begin, seconds, write
from sets import load_split
from torch.nn.functional import normalize

from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.scorers import FoldIn, Vectors, top_k
from ltgnn_pyg.scorers.rows import rows_of
from ltgnn_pyg.serving import publish
from ltgnn_pyg.serving.feedback_store import FeedbackStore

parser = arguments(__doc__, threads=1)
parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
args = begin(parser)
HERE = Path(__file__).parent
FEW, NUM = 8, 500  # Clients while things happen; users of the bare ranking.


def make_run(folder: Path) -> RunFolder:
    """A run on the interactions of the set, with random vectors."""
    split = load_split(args.dataset, args.root)
    size = split.train.num_users, split.train.num_items
    rows = normalize(torch.randn(sum(size), args.embedding_dim))
    seen = rows_of(split.train)
    degree = torch.bincount(seen.col, minlength=size[1])
    bias = 0.12 * degree.clamp(min=1).log()
    vectors = Vectors(rows[: size[0]], rows[size[0] :], bias)
    return RunFolder.write(folder, FoldIn(vectors, degree, 0.1, seen), split, {})


def bare_ms(run: RunFolder) -> float:
    """The median milliseconds of a list without a server, of some users alone."""
    rows, (rowptr, col) = run.vectors, run.seen
    num = min(NUM, rows.num_users)
    some = Vectors(rows.user[:num], rows.item, rows.item_bias)
    exclude = rowptr[: num + 1], col[: rowptr[num]]
    one = partial(top_k, some, 10, exclude=exclude)
    times = [seconds(partial(one, user=user)) for user in torch.arange(num).split(1)]
    return round(1000 * median(times[num // 10 :]), 3)


class Server:
    """A server in processes of its own."""

    def __init__(self, path: Path, workers: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        given = f"{str(path)!r}, port={self.port}, workers={workers}"
        code = f"from ltgnn_pyg.serving import serve; serve({given})"
        self.command = [sys.executable, "-c", code]
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

    def close(self) -> None:
        """Kills it and its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def clients(server: Server, users: Path, num: int, span: float, **options: float):
    """Starts clients; they print what they saw when they end."""
    command = [sys.executable, HERE / "load.py", "--port", server.port]
    command += ["--users", users, "--clients", num, "--seconds", span]
    command += [x for name, value in options.items() for x in (f"--{name}", value)]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen) -> dict:
    """The counts and times of clients, when they have ended."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit("Expected clients that end well; see above")
    seen = json.loads(out)
    wrong = seen["failed"]
    return {**seen, "failed": len(wrong), "answers": sorted(set(wrong))}


with TemporaryDirectory() as temporary:
    folder = Path(temporary)
    run = make_run(folder / "run")
    store, users = folder / "store", folder / "users.txt"
    publish(run.path, store)
    some = torch.randint(run.vectors.num_users, (5000,)).tolist()
    users.write_text("\n".join(run.user_ids[user] for user in some))
    about = {"num_users": len(run.user_ids), "num_items": len(run.item_ids),
             "embedding_dim": run.vectors.dim}  # fmt: skip

    for workers in args.workers:
        with closing(Server(store, workers)) as server:
            result(clients(server, users, FEW, 1.0))  # Warms up.
            for num in args.clients:
                about["bare_ms"] = bare_ms(run)  # With nothing beside it.
                seen = result(clients(server, users, num, args.seconds))
                write(args, {**about, "section": "load", "workers": workers, **seen})

            process = clients(server, users, FEW, args.seconds)
            published = []
            for _ in range(3):
                time.sleep(args.seconds / 5)
                published.append(publish(run.path, store))
            line = {"section": "refresh", "workers": workers, "published": published}
            write(args, {**about, **line, **result(process)})

            more = {"posts": 0.1, "seed": workers}
            process = clients(server, users, FEW, 2 * args.seconds, **more)
            time.sleep(args.seconds / 2)
            server.close()
            server.start()
            seen = result(process)
            kept = {item for _, item, _ in FeedbackStore(store).since(0)}
            seen["lost"] = len({item for _, item in seen["acknowledged"]} - kept)
            seen["acknowledged"] = len(seen["acknowledged"])
            line = {"section": "crash", "workers": workers}
            write(args, {**about, **line, **seen, "down_s": seen["longest_gap_s"]})
