"""What a billion interactions would take: memory, time, traffic, from measurements.

    python benchmarks/plan.py

Takes its constants from one point of results/scaling.jsonl (--calibrate interactions;
what memory is fixed, from the smallest one too) and holds what follows from them
against the other points, and against the whole of `fit` in results/scale_quality.jsonl.
docs/scale.md explains them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
TABLES = 7  #: Table, gradient, two moments, three of a round.
FIT = 3  #: The start, the average, what is scored.
ROUNDS, K, DIM, FLOAT = 40, 3, 64, 4
SIZES = [10**9, 10**10]
PROCESSES = 16

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--calibrate", type=int, default=10_000_000)
args = parser.parse_args()


def read(name: str) -> list[dict[str, Any]]:
    """The raw lines of a benchmark."""
    return [json.loads(line) for line in (RESULTS / f"{name}.jsonl").open()]


points = read("scaling")[-1]["points"]
at = {(p["model"], p["num_interactions"]): p for p in points}
ltgnn, mf = (at[name, args.calibrate] for name in ("ltgnn", "mf"))
num = ltgnn["interactions"]
ROW = DIM * FLOAT
PAIR = mf["seconds_per_epoch"] / num  # Seconds of the inner steps, an interaction.
ROUND = (ltgnn["seconds_per_epoch"] - mf["seconds_per_epoch"]) / (num * ROUNDS)
small = min((p for p in points if p["model"] == "ltgnn"), key=lambda p: p["num_nodes"])
beside = [  # The tables.
    (p["peak_rss_mb"] - p["libraries_mb"]) * 2**20 - TABLES * p["num_nodes"] * ROW
    for p in (small, ltgnn)
]
PAIR_BYTES = (beside[1] - beside[0]) / (num - small["interactions"])
FIXED = beside[1] - PAIR_BYTES * num
NODES = ltgnn["num_nodes"] / num
SENT = read("bandwidth")[-1]["gigabytes_a_second"] * 1e9


def seconds(interactions: float) -> float:
    """An epoch of LTGNN."""
    return interactions * (PAIR + ROUNDS * ROUND)


def megabytes(nodes: float, interactions: float, tables: int = TABLES) -> float:
    """Memory beside that of the libraries."""
    return (FIXED + tables * nodes * ROW + PAIR_BYTES * interactions) / 2**20


def line(*words: Any) -> None:
    """A row of a table in Markdown."""
    print("| " + " | ".join(map(str, words)) + " |")


print(
    f"{PAIR * 1e9:.0f} ns an interaction for its steps, {ROUND * 1e9:.0f} ns a round;"
)
print(f"{TABLES} tables of {ROW} bytes a node, {PAIR_BYTES:.0f} bytes an interaction, ")
print(f"{FIXED / 2**20:.0f} MB fixed;")
print(f"{NODES:.4f} nodes an interaction; {SENT / 1e9:.2f} GB/s between processes\n")
line("interactions", "epoch (s)", "predicted", "", "memory (MB)", "predicted", "")
line(*["---"] * 7)
for p in points:
    if p["model"] == "ltgnn" and p["seconds_per_epoch"]:
        time, memory = p["seconds_per_epoch"], p["peak_rss_mb"] - p["libraries_mb"]
        told = seconds(p["interactions"])
        told_mb = megabytes(p["num_nodes"], p["interactions"])
        line(
            f"{p['interactions']:,}",
            *(f"{time:.1f}", f"{told:.1f}", f"{told / time:.2f}"),
            *(f"{memory:,.0f}", f"{told_mb:,.0f}", f"{told_mb / memory:.2f}"),
        )
libraries = ltgnn["libraries_mb"]
print("\nThe whole of `fit`, libraries included:\n")
line("interactions", "memory (MB)", "predicted", "")
line(*["---"] * 4)
whole = [r for r in read("scale_quality") if r["method"] == "ltgnn"]
whole = sorted(whole, key=lambda r: r["interactions"])[-1:]  # The largest.
for row in whole:
    nodes, size = row["users"] + row["items"], row["interactions"]
    told_mb = libraries + megabytes(nodes, size, TABLES + FIT)
    line(f"{size:,}", f"{row['peak_rss_mb']:,}", f"{told_mb:,.0f}",
         f"{told_mb / row['peak_rss_mb']:.2f}")  # fmt: skip
print()
line("", *(f"{size:,}" for size in SIZES))
line(*["---"] * (1 + len(SIZES)))
nodes = [size * NODES for size in SIZES]
line("nodes (million)", *(f"{n / 1e6:,.0f}" for n in nodes))
sizes = [megabytes(n, size, TABLES + FIT) / 2**10
         for n, size in zip(nodes, SIZES, strict=True)]  # fmt: skip
line("memory of `fit` (GB)", *(f"{gb:,.0f}" for gb in sizes))
line("an epoch (hours)", *(f"{seconds(size) / 3600:,.1f}" for size in SIZES))
line(f"memory of each of {PROCESSES} processes (GB)",
     *(f"{gb / PROCESSES:,.0f}" for gb in sizes))  # fmt: skip
ring = [2 * n / 2 * ROW * (PROCESSES - 1) / PROCESSES for n in nodes]
line("a product sends (GB a process)", *(f"{b / 1e9:,.1f}" for b in ring))
line("sending, of an epoch of 80 rounds (hours)",
     *(f"{80 * 2 * K * b / SENT / 3600:,.1f}" for b in ring))  # fmt: skip
