"""Asks a server on this machine for lists, by several clients at once.

    python benchmarks/load.py --port 8000 --users users.txt --clients 8 --seconds 5

Clients come 20 ms after each other, each over a connection that it keeps; when all are
there, the time starts. Each asks anew as soon as it has its answer. What they saw is
printed as one line of JSON. With --posts some requests are feedback. A request whose
connection ends or is refused is sent again, every 20 ms and for a minute at most; it
counts as retried, with its time from the first try, and as failed if it never gets an
answer or gets one other than 200. Nothing but the standard library, so that it takes
little of the machine that it measures.
"""

import argparse
import asyncio
import json
import random
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--users", type=Path, required=True, help="ids, one a line")
parser.add_argument("--clients", type=int, default=8)
parser.add_argument("--seconds", type=float, default=5.0)
parser.add_argument("--posts", type=float, default=0.0, help="share of feedback")
parser.add_argument("--seed", type=int, default=0)
PATIENCE, APART = 60.0, 0.02  # Seconds.


async def ask(link, request):
    """The head of the answer to a request."""
    reader, writer = link
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(field(head, b"\r\ncontent-length: ")))
    return head


def field(head, name):
    """The value of a header."""
    return head.partition(name)[2].partition(b"\r")[0]


async def client(number, args, users, start, seen):
    """Asks until the time is over."""
    link, begin = None, start + APART * args.clients
    await asyncio.sleep(APART * number)
    draw, turn = random.Random(args.seed * 1000 + number), 0
    while time.perf_counter() < begin + args.seconds:
        user, turn = draw.choice(users), turn + 1
        posted = draw.random() < args.posts
        if posted:
            item = f"new-{args.seed}-{number}-{turn}"
            row = {"FeedbackType": "like", "UserId": user, "ItemId": item}
            body = json.dumps([row])
            request = (
                f"POST /api/feedback HTTP/1.1\r\nHost: x\r\nContent-Type: "
                f"application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        else:
            path = f"/api/recommend/{quote(user)}?n=10"
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        start, tries, head = time.perf_counter(), 0, b""
        while time.perf_counter() - start < PATIENCE:
            tries += 1
            try:
                if link is None:
                    link = await asyncio.open_connection("127.0.0.1", args.port)
                head = await ask(link, request)
                break
            except (OSError, EOFError):
                head, link = b"", None
                await asyncio.sleep(0.02)
        done = time.perf_counter()
        good = head.startswith(b"HTTP/1.1 200 ")
        seen["retried"] += tries > 1
        if not good:
            answer = head[: head.find(b"\r")].decode(errors="replace")
            seen["failed"].append(answer or "none")
            continue
        if posted:
            seen["acknowledged"].append([user, item])
        if start >= begin:
            seen["times"].append(done - start)
            seen["ends"].append(done)
            version = field(head, b"\r\nx-model-version: ").decode()
            seen["versions"][version] = seen["versions"].get(version, 0) + 1
    if link is not None:
        link[1].close()


async def main(args):
    """All clients, and what they saw."""
    users = args.users.read_text().splitlines()
    seen = {"times": [], "ends": [], "versions": {}, "acknowledged": []}
    seen |= {"failed": [], "retried": 0}
    start = time.perf_counter()
    clients = (client(n, args, users, start, seen) for n in range(args.clients))
    await asyncio.gather(*clients)
    seconds = time.perf_counter() - start - APART * args.clients
    times, ends = sorted(seen.pop("times")), sorted(seen.pop("ends"))
    place = [int(share * (len(times) - 1)) for share in (0.5, 0.99, 1.0)]
    p50, p99, most = (round(1000 * times[at], 3) for at in place)
    gaps = (b - a for a, b in pairwise(ends))
    return {
        "clients": args.clients, "requests": len(times), "p50_ms": p50, "p99_ms": p99,
        "max_ms": most, "rps": round(len(times) / seconds, 1),
        "longest_gap_s": round(max(gaps, default=0.0), 3), **seen,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(parser.parse_args()))))
