"""Tables and plots of the raw lines in benchmarks/results.

    python benchmarks/plot.py

writes results/tables.md, and results/*.png and *.svg. Where several lines answer the
same question, the last one counts; lines of benchmarks that measure another thing today
stay in the files and are passed over. Needs matplotlib.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import log10
from pathlib import Path
from statistics import linear_regression, mean, stdev
from typing import Any

Row = dict[str, Any]
NAMES = {
    "ltgnn": "LTGNN",
    "ltgnn-step": "LTGNN's step",
    "ltgnn-rounds": "LTGNN's rounds",
    "mf": "MF",
    "lightgcn": "LightGCN",
    "als": "ALS (implicit)",
    "bpr": "BPR (implicit)",
    "spectral": "singular vectors",
    "popularity": "popularity",
}
ONE, TOGETHER = "ms_per_query", "ms_per_query_of_64"
RECALL = "validation recall@20"
COLORS = {name: f"C{number}" for number, name in enumerate(NAMES)}

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
args = parser.parse_args()


def read(name: str) -> list[Row]:
    """The raw lines of a benchmark, none if it has not run."""
    path = args.results / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def last(rows: Iterable[Row], *keys: str) -> list[Row]:
    """The last row for each value of the keys."""
    return list({tuple(row[key] for key in keys): row for row in rows}.values())


def section(name: str, *keys: str) -> list[Row]:
    """The lines of a question, the last one for each value of the keys."""
    return last((r for r in read("approximation") if r["section"] == name), *keys)


def group(rows: Iterable[Row], key: str) -> dict[Any, list[Row]]:
    """The rows by the value of a key."""
    out: dict[Any, list[Row]] = {}
    for row in rows:
        out.setdefault(row[key], []).append(row)
    return out


def set_name(dataset: str) -> str:
    """The name of a set: of a file, that of its folder."""
    path = Path(dataset)
    return path.parent.name if path.suffix and path.parent.name else path.stem


def column(rows: Iterable[Row], key: str) -> list[Any]:
    """A value of each row."""
    return [row[key] for row in rows]


@contextmanager
def figure(
    name: str, xlabel: str, ylabel: str, panels: int = 1, **scales: str
) -> Iterator[Any]:
    """Axes to draw on, saved as PNG and SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"svg.hashsalt": name, "font.size": 9, "lines.markersize": 4})
    size = (3.8 * panels, 2.8)
    fig, axes = plt.subplots(1, panels, figsize=size, layout="constrained")
    each = list(axes) if panels > 1 else [axes]
    for ax in each:
        ax.set(xlabel=xlabel, ylabel=ylabel, **scales)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, linewidth=0.5)
    yield axes
    for ax in each:
        low, high = ax.get_ylim()
        if ylabel == RECALL and high - low < 0.01:  # Do not magnify noise.
            ax.set_ylim((low + high) / 2 - 0.005, (low + high) / 2 + 0.005)
        if labels := ax.get_legend_handles_labels()[1]:
            aside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
            many = aside if len(labels) > 6 else {}  # They would hide the lines.
            ax.legend(frameon=False, fontsize=8, **many)
    fig.savefig(args.results / f"{name}.png", dpi=160)
    fig.savefig(args.results / f"{name}.svg", metadata={"Date": None})
    plt.close(fig)


def table(title: str, rows: Iterable[Row], columns: dict[str, str]) -> str:
    """A table in Markdown, each column formatted from the row."""
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[value.format(**row) for value in columns.values()] for row in rows]
    return f"## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def speed(rows: list[Row]) -> str:
    """Seconds an epoch of each model."""
    columns = {
        "Dataset": "{dataset}",
        "Neighbours": "{num_neighbors}",
        "LTGNN's step": "{ltgnn_epoch_s:.2f}",
        "LTGNN's rounds": "{ltgnn_rounds_epoch_s:.2f}",
        "MF": "{mf_epoch_s:.2f}",
        "LightGCN": "{best_lightgcn_epoch_s:.1f}",
        "LightGCN, PyG": "{pyg_lightgcn_epoch_s:.1f}",
        "Step / MF": "{ratio_ltgnn_mf:.2f}",
        "Rounds / step": "{ratio_rounds_ltgnn:.2f}",
        "LightGCN / step": "{ratio_best_ltgnn:.1f}",
        "PyG / step": "{ratio_pyg_ltgnn:.1f}",
    }
    return table("Seconds an epoch", rows, columns)


def product(rows: list[Row]) -> str:
    """Milliseconds of the product by each kernel."""
    lines = [{**each, "dataset": row["dataset"]} for row in rows
             for each in row["products"]]  # fmt: skip
    for line in lines:
        line |= {name: "-" if ms is None else ms for name, ms in line["ms"].items()}
    columns = {"Dataset": "{dataset}", "Type": "{dtype}", "Width": "{dim}"}
    columns |= {name.removeprefix("_by_"): f"{{{name}}}" for name in lines[0]["ms"]}
    return table("Milliseconds a product", lines, {**columns, "Chosen": "{chosen}"})


def scaling(rows: list[Row]) -> str:
    """Time and memory against interactions."""
    points = [point for point in rows[-1]["points"] if point["seconds_per_epoch"]]
    if "source" not in rows[-1]:  # Of drawn sets: LTGNN was the step.
        points += [point for row in read("scaling_100m") for point in row["points"]]
        old = {"ltgnn": "ltgnn-step", "rounds": "ltgnn-rounds"}
        points = [{**p, "model": old.get(p["model"], p["model"])} for p in points]
    scales = {"xscale": "log", "yscale": "log"}
    with figure("scaling", "interactions", "seconds an epoch", 2, **scales) as axes:
        time, memory = axes
        memory.set_ylabel("peak resident memory (MB)")
        for model, line in group(points, "model").items():
            x, style = column(line, "num_interactions"), {"color": COLORS[model]}
            seconds, name = column(line, "seconds_per_epoch"), NAMES[model]
            label = name
            if len(line) > 1:
                fit = linear_regression([*map(log10, x)], [*map(log10, seconds)])
                label += f", slope {fit.slope:.2f}"
            time.plot(x, seconds, "o-", label=label, **style)
            memory.plot(x, column(line, "peak_rss_mb"), "o-", label=name, **style)
            memory.plot(x, column(line, "budget_mb"), ":", **style)
        memory.plot([], [], "k:", label="budget")
    columns = {
        "Interactions": "{num_interactions:,}",
        "Model": "{model}",
        "Seconds an epoch": "{seconds_per_epoch:.2f}",
        "Seconds a step": "{seconds_per_step:.5f}",
        "Refresh (s)": "{refresh_s:.3f}",
        "Peak memory (MB)": "{peak_rss_mb:,}",
        "Libraries (MB)": "{libraries_mb}",
        "Budget (MB)": "{budget_mb:,}",
        "(Peak - libraries) / budget": "{peak_less_libraries_over_budget:.2f}",
    }
    return table("Time and memory against interactions", points, columns)


def scale_quality(rows: list[Row]) -> str:
    """The lists of each method on large sets, and how fast they become good."""
    out = []
    for (source, asked, _), lines in group(rows, "set").items():
        name = Path(source).name
        about = f"scale_quality_{name}_{asked}"
        with figure(about, "seconds of training", RECALL) as ax:
            for row in lines:
                label = NAMES[row["method"]]
                x, y = ([point[i] for point in row["curve"]] for i in (0, 1))
                color = COLORS[row["method"]]
                if row["epochs"] > 0:
                    ax.plot(x, y, "o-", label=label, color=color)
                else:  # There is nothing to wait for.
                    ax.axhline(y[0], label=label, color=color, ls=":")
        columns = {
            "Method": "{method}",
            "Recall@20": "{recall@20:.4f}",
            "NDCG@20": "{ndcg@20:.4f}",
            "Seconds of training": "{seconds:.0f}",
            "Epochs": "{epochs}",
            "Peak memory (MB)": "{peak_rss_mb:,}",
        }
        lines.sort(key=lambda row: -row["recall@20"])
        size = f"{lines[0]['interactions']:,} interactions"
        budget = f"{lines[0]['budget']:g} s at most"
        out.append(table(f"Quality at {size}, {name}, {budget}", lines, columns))
    return "\n".join(out)


def quality(rows: list[Row]) -> str:
    """The lists of each recipe, over seeds, and how fast they become good."""
    out = []
    for row in rows:
        row["set"] = row["dataset"], row["order"]
        row["valid"] = row.get("validation", {}).get("recall@20", float("nan"))
    rows = last(rows, "set", "recipe", "seed")
    for (dataset, order), lines in group(rows, "set").items():
        table_rows = []
        for recipe, runs in group(lines, "recipe").items():
            row = {"recipe": recipe, "seeds": len(runs)}
            for key in ("recall@20", "ndcg@20", "valid", "epochs", "train_seconds"):
                values = column(runs, key)
                row[key] = mean(values)
                spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
                row[f"{key} spread"] = spread
            table_rows.append(row)
        columns = {
            "Recipe": "{recipe}",
            "Recall@20": "{recall@20:.4f}{recall@20 spread}",
            "NDCG@20": "{ndcg@20:.4f}{ndcg@20 spread}",
            "Validation recall@20": "{valid:.4f}",
            "Epochs": "{epochs:.0f}",
            "Training (s)": "{train_seconds:.0f}",
            "Seeds": "{seeds}",
        }
        table_rows.sort(key=lambda row: -row["recall@20"])
        name = set_name(dataset)
        title = f"Quality, {name}, held out by {order}"
        out.append(table(title, table_rows, columns))
        with figure(f"quality_{name}", "seconds of training", RECALL) as ax:
            for recipe, runs in group(lines, "recipe").items():
                curve = [row for row in runs[0].get("curve", []) if "recall@20" in row]
                if curve:
                    x, y = column(curve, "seconds"), column(curve, "recall@20")
                    ax.plot(x, y, "o-", label=recipe)
    return "\n".join(out)


def ways(rows: list[Row]) -> str:
    """Recall against seconds, by each way of training."""
    names = {"inner": "inner steps", "rounds": "rounds", "vr": "the paper's step"}
    lines = []
    for row in rows:
        name = set_name(row["dataset"])
        with figure(f"ways_{name}", "seconds of training", RECALL) as ax:
            for way, label in names.items():
                if way not in row:  # Of version 0.2.
                    continue
                x, y = column(row[way], "seconds"), column(row[way], "recall")
                ax.plot(x, y, "o-", label=label)
                lines += [{**p, "dataset": name, "way": label} for p in row[way]]
    columns = {
        "Dataset": "{dataset}",
        "Trained by": "{way}",
        "Seconds": "{seconds:.0f}",
        "Validation recall@20": "{recall:.4f}",
    }
    return table("Recall against seconds of training", lines, columns)


def retrieval(rows: list[Row]) -> str:
    """Recall against milliseconds, by each index."""
    lines = []
    for row in rows:
        for items, points in group(row["sizes"], "items").items():
            name = f"retrieval_{row['vectors']}_{items}"
            with figure(name, "ms a query", "recall@100", 2, xscale="log") as axes:
                axes[1].set(xlabel=f"ms a query, {row['batch']} together")
                for index, line in group(points, "index").items():
                    y = column(line, "recall@100")
                    for ax, key in zip(axes, (ONE, TOGETHER), strict=True):
                        ax.plot(column(line, key), y, "o-", label=index)
            lines += [{**point, "vectors": row["vectors"]} for point in points]
    columns = {
        "Vectors": "{vectors}",
        "Items": "{items:,}",
        "Index": "{index}",
        "Setting": "{setting}",
        "Recall@100": "{recall@100:.4f}",
        "ms a query": f"{{{ONE}:.3f}}",
        "64 together": f"{{{TOGETHER}:.3f}}",
        "Build (s)": "{build_s:.1f}",
        "MB": "{mb:,.0f}",
    }
    return table("Retrieval: recall and time", lines, columns)


def gradient(rows: list[Row]) -> str:
    """The gradient estimates against the exact gradient."""
    columns = {
        "Dataset": "{dataset}",
        "Epoch": "{epoch}",
        "Estimate": "{gradient}",
        "Cosine": "{cosine:.3f}",
        "Norm, over the exact one": "{norm_ratio:.3f}",
    }
    return table("Gradient estimates against the exact gradient", rows, columns)


def history(rows: list[Row]) -> str:
    """The error of the history over training."""
    y_label = "relative error of the history"
    with figure("history", "epoch", y_label, yscale="log") as ax:
        for num, line in group(rows, "refresh_steps").items():
            # Down at the refresh that ends an epoch, and over the next one up again.
            x = [row["epoch"] for row in line for _ in (0, 1)][1:]
            y = [row[key] for row in line for key in ("before", "after")][1:]
            ax.plot(x, y, "o-", label=f"{num} steps a refresh")
    columns = {
        "Steps a refresh": "{refresh_steps}",
        "Epoch": "{epoch}",
        "Before the refresh": "{before:.4f}",
        "After it": "{after:.4f}",
    }
    return table("Error of the history", rows, columns)


def variance(rows: list[Row]) -> str:
    """The variance of the sampled aggregate."""
    x = column(rows, "num_neighbors")
    with figure(
        "variance", "num_neighbors", "relative variance", xscale="log", yscale="log"
    ) as ax:
        ax.plot(x, column(rows, "variance_without"), "o-C3", label="neighbours alone")
        ax.plot(x, column(rows, "variance"), "o-C0", label="with control variate")
    columns = {
        "Neighbours": "{num_neighbors}",
        "With control variate": "{variance:.2e}",
        "Without": "{variance_without:.2e}",
    }
    return table("Variance of the aggregate", rows, columns)


def solver(rows: list[Row]) -> str:
    """Iterations to the fixed point."""
    sizes = group(rows, "num_interactions").values()
    with figure("solver", "alpha", "iterations to 1e-6", yscale="log") as ax:
        for marker, line in zip("o^s", sizes, strict=False):
            label = f"{line[0]['num_interactions']:,} interactions"
            x, y = column(line, "alpha"), column(line, "iterations")
            ax.plot(x, y, marker, markerfacecolor="none", label=label)
        ax.plot(column(line, "alpha"), column(line, "bound"), "k:", label="bound")
    columns = {
        "Interactions": "{num_interactions:,}",
        "alpha": "{alpha}",
        "Iterations": "{iterations}",
        "Bound": "{bound}",
    }
    return table("Iterations of the solver", rows, columns)


def neighbors(rows: list[Row]) -> str:
    """Recall against the neighbours sampled in training."""
    with figure("neighbors", "num_neighbors", RECALL, xscale="log") as ax:
        ax.plot(column(rows, "num_neighbors"), column(rows, "recall@20"), "o-")
    columns = {"Neighbours": "{num_neighbors}", **TRAINED}
    return table("Recall against the neighbours sampled", rows, columns)


def steps(rows: list[Row]) -> str:
    """Recall against the steps at inference."""
    starts = group(rows, "start")
    with figure("steps", "steps K at inference", RECALL) as ax:
        for exact in starts.pop("fixed point", []):
            ax.axhline(exact["recall@20"], color="k", ls=":", label="fixed point")
        for start, line in starts.items():
            x, y = column(line, "K"), column(line, "recall@20")
            ax.plot(x, y, "o-", label=f"from the {start}")
    columns = {
        "From": "{start}",
        "Steps": "{K}",
        "Recall@20": "{recall@20:.4f}",
        "Relative error": "{error:.4f}",
    }
    return table("Recall against the steps at inference", rows, columns)


def refresh(rows: list[Row]) -> str:
    """Recall against the batches between refreshes."""
    with figure("refresh", "batches between refreshes", RECALL) as ax:
        for num, line in group(rows, "refresh_steps").items():
            x = [str(row["interval"] or "never") for row in line]
            ax.plot(x, column(line, "recall@20"), "o-", label=f"{num} steps a refresh")
    columns = {"Steps a refresh": "{refresh_steps}", "Batches between": "{interval}"}
    return table("Recall against the refresh interval", rows, {**columns, **TRAINED})


def expansion(rows: list[Row]) -> str:
    """Sets and what was expanded of them: degrees, spectrum, who recommends best."""
    methods = ["popularity", "svd", "als", "mf", "ltgnn"]
    short = {"source": "", "kronecker": ", plain Kronecker", "expand": ""}
    for row in rows:
        name = set_name(row["dataset"])
        row["set"] = name + (
            "" if row["way"] == "source" else f" x {row['factor']:.3g}"
        )
        row["name"] = row["set"] + short[row["way"]]
        row["shown"] = "-" if row["way"] != "expand" else f"{row['travel']:.2f}"
        if row["way"] == "expand":
            row["name"] += f", travel {row['shown']}"
        recall = row["recall@20"]
        row |= {name: f"{recall[name]:.4f}" if name in recall else "-"
                for name in methods}  # fmt: skip
    rows.sort(key=lambda row: (row["set"], row["way"] != "expand", row["travel"]))
    with figure("expansion", "singular value", "", 2) as (spectrum, quality):
        spectrum.set(xscale="log", ylabel="of the normalised interactions")
        quality.set(xlabel="", ylabel="recall@20, over LTGNN's")
        for row in rows:
            source = row["way"] == "source"
            style = {
                "linewidth": 2 if source else 1,
                "linestyle": "--" if row["way"] == "kronecker" else "-",
                "marker": "s" if source else "o",
            }
            values = {int(at): s for at, s in row["singular_values"].items()}
            row["singular_values"] = values
            spectrum.plot([*values], [*values.values()], **style)
            if "ltgnn" in row["recall@20"]:
                best = row["recall@20"]["ltgnn"]
                known = [name for name in methods if name in row["recall@20"]]
                y = [row["recall@20"][name] / best for name in known]
                quality.plot(known, y, label=row["name"], **style)
    columns = {
        "Set": "{name}",
        "Interactions": "{num_interactions:,}",
        "Density": "{density:.1e}",
        "Degree of users: 10, 50, 90, 99 %": "{users[0.1]}, {users[0.5]}, "
        "{users[0.9]}, {users[0.99]}",
        "Gini": "{users[gini]:.3f}",
        "Of items": "{items[0.1]}, {items[0.5]}, {items[0.9]}, {items[0.99]}",
        "Gini ": "{items[gini]:.3f}",
        "Singular values 2, 8, 64": "{singular_values[2]:.3f}, "
        "{singular_values[8]:.3f}, {singular_values[64]:.3f}",
    }
    columns |= {NAMES.get(name, name): f"{{{name}}}" for name in methods[:-1]}
    columns["LTGNN"] = "{ltgnn}"
    return table("Expanded sets: recall@20 and laws", rows, columns)


def diversity(rows: list[Row]) -> str:
    """What diversity costs, by each way to re-rank."""
    out, names = [], {"mmr": "MMR", "dpp": "DPP"}
    for dataset, lines in group(rows, "dataset").items():
        name = set_name(dataset)
        (plain,) = [row for row in lines if row["method"] == "none"]
        with figure(f"diversity_{name}", "ILD@20", "recall@20", 2) as axes:
            for ax, key in zip(axes, ("ild@20", "coverage@20"), strict=True):
                ax.plot(plain[key], plain["recall@20"], "k*", label="by score alone")
                for method, label in names.items():
                    line = [row for row in lines if row["method"] == method]
                    ax.plot(column(line, key), column(line, "recall@20"), "o-",
                            label=label)  # fmt: skip
            axes[1].set(xlabel="coverage@20")
        columns = {
            "Method": "{method}",
            "Weight of the score": "{weight:g}",
            "Recall@20": "{recall@20:.4f}",
            "NDCG@20": "{ndcg@20:.4f}",
            "ILD@20": "{ild@20:.4f}",
            "Coverage@20": "{coverage@20:.4f}",
            "Gini@20": "{gini@20:.4f}",
            "Novelty@20": "{novelty@20:.3f}",
            "ms a list": "{ms_per_list:.2f}",
            "ms, one list": "{ms_one_list:.2f}",
        }
        title = f"Diversity of lists, {name}, of {plain['candidates']} candidates"
        out.append(table(title, lines, columns))
    return "\n".join(out)


def models(rows: list[Row]) -> str:
    """Every model of the family: how good its lists are, and after how long."""
    out = []
    for dataset, lines in group(rows, "dataset").items():
        name = set_name(dataset)
        for row in lines:
            row["printed"] = "{} / {}".format(*row["published"] or ["", ""]).strip(" /")
            row["ended by"] = "the budget" if " s" in row["reason"] else "validation"
            if row["epochs"] == 0:
                row["ended by"] = ""
        with figure(f"models_{name}", "seconds of training", "recall@20") as ax:
            # As papers train is hours: in the table only.
            drawn = [r for r in lines if r["setting"] == "here" or r["epochs"] == 0]
            for device, of_device in group(drawn, "device").items():
                ax.scatter(
                    column(of_device, "train_seconds"),
                    column(of_device, "recall@20"),
                    s=12,
                    label=device,
                )
            for row in drawn:
                at = row["train_seconds"], row["recall@20"]
                label = row["model"] + (f" {dim}" if (dim := row["embedding_dim"]) != 64
                                        else "")  # fmt: skip
                ax.annotate(label, at, fontsize=6, xytext=(3, 2),
                            textcoords="offset points")  # fmt: skip
        columns = {
            "Model": "{model}",
            "Setting": "{setting}",
            "Columns": "{embedding_dim}",
            "Recall@20": "{recall@20:.4f}",
            "NDCG@20": "{ndcg@20:.4f}",
            "NDCG@10": "{ndcg@10:.4f}",
            "Coverage@20": "{coverage@20:.3f}",
            "Gini@20": "{gini:.3f}",
            "Printed": "{printed}",
            "Epochs": "{epochs:g}",
            "Choice ended by": "{ended by}",
            "Choice and training (s)": "{train_seconds:.0f}",
            "Device": "{device}",
            "Threads": "{threads}",
            "Budget": "{budget}",
        }
        lines.sort(key=lambda row: -row["ndcg@20"])
        out.append(table(f"The family, {name}", lines, columns))
    return "\n".join(out)


def tail(rows: list[Row]) -> str:
    """For whom, and for which items, a method is ahead."""
    out = []
    for dataset, lines in group(rows, "dataset").items():
        name = set_name(dataset)
        sides = {"user": "users by interactions", "item": "items by interactions"}
        with figure(f"tail_{name}", "", "recall@20 over MF's", 2) as axes:
            (mf,) = [row for row in lines if row["model"] == "mf"]
            for ax, (side, label) in zip(axes, sides.items(), strict=True):
                key, most = f"recall_by_{side}", mf[f"most_of_{side}"]
                for row in lines:
                    if row["model"] not in ("mf", "popularity"):
                        ratio = [one / max(other, 1e-9) for one, other in
                                 zip(row[key], mf[key], strict=True)]  # fmt: skip
                        ax.plot(range(5), ratio, "o-", label=row["model"])
                ax.axhline(1.0, color="k", lw=0.5)
                ax.set(xlabel=label, xticks=range(5), ylim=(0.7, 1.3))
                ax.set_xticklabels([f"≤ {number}" for number in most], fontsize=7)
        for row in lines:
            row["users"], row["items"], row["cut"] = (
                " / ".join(f"{value:.4f}" for value in values)
                for values in (
                    row["recall_by_user"],
                    row["recall_by_item"],
                    [cut["recall@20"] for cut in (row["cut_history"] or {}).values()],
                )
            )
        columns = {
            "Model": "{model}",
            "Recall@20": "{recall@20:.4f}",
            "By users, few to many": "{users}",
            "By items, few to many": "{items}",
            "1, 2, 5 known": "{cut}",
        }
        out.append(table(f"Where methods are ahead, {name}", lines, columns))
    return "\n".join(out)


def temperature(rows: list[Row]) -> str:
    """Which temperature is best at which density."""
    lines = []
    for row in sorted(rows, key=lambda row: (row["density"], row["temperature"])):
        core = f", core of {row['core']}" if row["core"] else ""
        found = " (by density)" if row["by_density"] else ""
        lines.append({**row, "set": set_name(row["dataset"]) + core, "found": found})
    columns = {
        "Set": "{set}",
        "Density": "{density:.5f}",
        "Temperature": "{temperature:.3f}{found}",
        "Validation recall@20": "{recall@20:.4f}",
        "Validation NDCG@20": "{ndcg@20:.4f}",
        "Epochs": "{epochs}",
    }
    return table("The temperature of softmax", lines, columns)


TRAINED = {"Recall@20": "{recall@20:.4f}", "Seconds": "{train_seconds}"}
large = [{**row, "set": (row["source"], row["asked"], row["budget"])}
         for row in read("scale_quality") if "recall@20" in row]  # fmt: skip
QUESTIONS = (
    (
        speed,
        last(
            (r for r in read("speed") if "best_lightgcn_epoch_s" in r),
            "dataset",
            "num_neighbors",
        ),
    ),
    (product, last(read("product"), "dataset")),
    (scaling, read("scaling")),
    (scale_quality, last(large, "set", "method")),
    (quality, [r for r in read("quality") if "versions" in r and "recall@20" in r]),
    (ways, last(read("steps"), "dataset")),
    (expansion, last(read("expansion"), "dataset", "way", "factor", "travel")),
    (
        models,
        last(read("models"), "dataset", "model", "setting", "embedding_dim", "device"),
    ),
    (tail, last(read("tail"), "dataset", "model")),
    (temperature, last(read("temperature"), "dataset", "core", "temperature")),
    (diversity, last(read("diversity"), "dataset", "method", "weight")),
    (retrieval, last(read("retrieval"), "dataset", "vectors", "asked")),
    (gradient, last(read("gradient"), "dataset", "gradient", "epoch")),
    (history, section("history", "refresh_steps", "epoch")),
    (variance, section("variance", "num_neighbors")),
    (solver, section("solver", "num_interactions", "alpha")),
    (neighbors, section("neighbors", "num_neighbors")),
    (steps, section("steps", "start", "K")),
    (refresh, section("refresh", "refresh_steps", "interval")),
)
tables = [answer(rows) for answer, rows in QUESTIONS if rows]
(args.results / "tables.md").write_text("\n".join(tables))
