"""Pictures of the raw lines in benchmarks/results: `python benchmarks/figures.py`.

Writes results/*.svg. Needs matplotlib.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from tables import group, parser, read, read_tail, set_name

matplotlib.use("Agg")
from matplotlib import pyplot as plt


@contextmanager
def figure(path: Path, *labels: tuple[str, str], **scales: str) -> Iterator[Any]:
    """Axes side by side, each with the labels of its x and y, saved as SVG."""
    plt.rcParams.update({"svg.hashsalt": path.stem, "font.size": 9})
    plt.rcParams.update({"lines.markersize": 4, "legend.fontsize": 8})
    size = (3.8 * len(labels), 2.8)
    fig, axes = plt.subplots(1, len(labels), figsize=size, layout="constrained")
    each = [axes] if len(labels) == 1 else list(axes)
    for ax, (x, y) in zip(each, labels, strict=True):
        ax.set(xlabel=x, ylabel=y, **scales)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, linewidth=0.5)
    yield axes
    for ax in each:
        if ax.get_legend_handles_labels()[1]:
            ax.legend(frameon=False)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def models(results: Path) -> None:
    """Recall and time of every model as `fit` trains it; as papers train is hours."""
    rows = read(results / "models.jsonl", "dataset model setting embedding_dim device")
    rows = [row for row in rows if row["setting"] == "here" or row["epochs"] == 0]
    for (dataset,), lines in group(rows, "dataset").items():
        path = results / f"models_{set_name(dataset)}.svg"
        with figure(path, ("seconds of training", "recall@20")) as ax:
            for (device,), drawn in group(lines, "device").items():
                at = [(row["train_seconds"], row["recall@20"]) for row in drawn]
                ax.scatter(*zip(*at, strict=True), s=12, label=device)
                for row, point in zip(drawn, at, strict=True):
                    dim = row["embedding_dim"]
                    name = row["model"] if dim == 64 else f"{row['model']} {dim}"
                    ax.annotate(name, point, fontsize=6, xytext=(3, 2),
                                textcoords="offset points")  # fmt: skip


def tail(results: Path) -> None:
    """Recall over that of matrix factorisation, by fifths."""
    rows = read_tail(results / "tail.jsonl")
    for (dataset,), lines in group(rows, "dataset").items():
        labels = [(f"{side} by interactions", "recall@20 over MF's")
                  for side in ("users", "items")]  # fmt: skip
        (mf,) = [row for row in lines if row["model"] == "mf"]
        path = results / f"tail_{set_name(dataset)}.svg"
        with figure(path, *labels, ylim=(0.7, 1.3), xticks=range(5)) as axes:
            for ax, side in zip(axes, ("user", "item"), strict=True):
                key = f"recall_by_{side}"
                for row in lines:
                    if row["model"] not in ("mf", "popularity"):
                        pairs = zip(row[key], mf[key], strict=True)
                        ratio = [one / max(other, 1e-9) for one, other in pairs]
                        ax.plot(range(5), ratio, "o-", label=row["model"])
                ax.axhline(1.0, color="k", lw=0.5)
                ax.set_xticklabels([f"≤ {most}" for most in mf[f"most_of_{side}"]])


def scaling(results: Path) -> None:
    """Time and memory against the interactions."""
    points = read(results / "scaling.jsonl", "", ["source"])[-1]["points"]
    points = [point for point in points if point["seconds_per_epoch"]]
    keys = {"seconds_per_epoch": "seconds an epoch",
            "peak_rss_mb": "peak resident memory (MB)"}  # fmt: skip
    labels = [("interactions", label) for label in keys.values()]
    scales = {"xscale": "log", "yscale": "log"}
    with figure(results / "scaling.svg", *labels, **scales) as axes:
        for (model,), line in group(points, "model").items():
            for ax, key in zip(axes, keys, strict=True):
                x, y = ([point[k] for point in line] for k in ("num_interactions", key))
                ax.plot(x, y, "o-", label=model)


if __name__ == "__main__":
    results = parser.parse_args().results
    for draw in (models, tail, scaling):
        if (results / f"{draw.__name__}.jsonl").exists():
            draw(results)
