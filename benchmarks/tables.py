"""Tables of the raw lines in benchmarks/results.

    python benchmarks/tables.py

writes results/tables.md. Of lines that answer the same question the last one counts;
lines that are of older scripts stay in the files and are passed over.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import record
from record import Row

RESULTS = Path(__file__).parent / "results"
parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--results", type=Path, default=RESULTS)


def read(path: Path, keys: str, having: Sequence[str] = ()) -> list[Row]:
    """The raw lines that have some fields, the last one for each value of the keys."""
    names = keys.split()
    rows = [row for row in record.read(path) if row.keys() >= {*names, *having}]
    return list({repr([row[key] for key in names]): row for row in rows}.values())


def group(rows: Iterable[Row], *keys: str) -> dict[Any, list[Row]]:
    """The rows by the values of keys."""
    out: dict[Any, list[Row]] = {}
    for row in rows:
        out.setdefault(tuple(row[key] for key in keys), []).append(row)
    return out


def set_name(dataset: str) -> str:
    """The name of a set: of a file, that of its folder."""
    path = Path(dataset)
    return path.parent.name if path.suffix and path.parent.name else path.stem


def table(title: str, rows: Iterable[Row], columns: str) -> str:
    """A table in Markdown; a column is a name and the form of a row's fields."""
    pairs = [part.strip().split(": ", 1) for part in columns.split(" | ")]
    lines = [[name for name, _ in pairs], ["---"] * len(pairs)]
    lines += [[form.format(**row) for _, form in pairs] for row in rows]
    return f"## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def speed(path: Path) -> Iterator[str]:
    """Seconds an epoch of each model."""
    rows = read(path, "dataset num_neighbors", ["best_lightgcn_epoch_s"])
    yield table("Seconds an epoch", rows,
        "Dataset: {dataset} | Neighbours: {num_neighbors} | "
        "LTGNN's step: {ltgnn_epoch_s:.2f} | LTGNN's rounds: {ltgnn_rounds_epoch_s:.2f}"
        " | MF: {mf_epoch_s:.2f} | LightGCN: {best_lightgcn_epoch_s:.1f} | "
        "LightGCN, PyG: {pyg_lightgcn_epoch_s:.1f} | Step / MF: {ratio_ltgnn_mf:.2f} | "
        "Rounds / step: {ratio_rounds_ltgnn:.2f} | "
        "LightGCN / step: {ratio_best_ltgnn:.1f} | PyG / step: {ratio_pyg_ltgnn:.1f}"
    )  # fmt: skip


def product(path: Path) -> Iterator[str]:
    """Milliseconds of the product by each kernel."""
    for row in read(path, "dataset"):
        kernels = [f"{name.removeprefix('_by_')}: {{ms[{name}]}}"
                   for name in row["products"][0]["ms"]]  # fmt: skip
        columns = " | ".join(["Type: {dtype}", "Width: {dim}", *kernels])
        title = f"Milliseconds a product, {set_name(row['dataset'])}"
        yield table(title, row["products"], columns + " | Chosen: {chosen}")


def scaling(path: Path) -> Iterator[str]:
    """Time and memory against interactions."""
    points = read(path, "", ["source"])[-1]["points"]
    points = [point for point in points if point["seconds_per_epoch"]]
    yield table("Time and memory against interactions", points,
        "Interactions: {num_interactions:,} | Model: {model} | "
        "Seconds an epoch: {seconds_per_epoch:.2f} | "
        "Seconds a step: {seconds_per_step:.5f} | Refresh (s): {refresh_s:.3f} | "
        "Peak memory (MB): {peak_rss_mb:,} | Libraries (MB): {libraries_mb}"
    )  # fmt: skip


def scale_quality(path: Path) -> Iterator[str]:
    """The lists of each method on large sets."""
    rows = read(path, "source asked budget method", ["recall@20"])
    rows.sort(key=lambda row: -row["recall@20"])
    for (source, _, budget), lines in group(rows, "source", "asked", "budget").items():
        size = f"{lines[0]['interactions']:,} interactions, {set_name(source)}"
        yield table(f"Quality at {size}, {budget:g} s at most", lines,
            "Method: {method} | Recall@20: {recall@20:.4f} | NDCG@20: {ndcg@20:.4f} | "
            "Seconds of training: {seconds:.0f} | Epochs: {epochs} | "
            "Peak memory (MB): {peak_rss_mb:,}"
        )  # fmt: skip


def quality(path: Path) -> Iterator[str]:
    """The lists of each recipe, over seeds."""
    rows = read(path, "dataset order recipe seed", ["versions", "recall@20"])
    for (dataset, order), lines in group(rows, "dataset", "order").items():
        out = []
        for (recipe,), runs in group(lines, "recipe").items():
            row = {"recipe": recipe, "seeds": len(runs)}
            for run in runs:
                run["valid"] = run.get("validation", {}).get("recall@20", float("nan"))
            for key in ("recall@20", "ndcg@20", "valid", "epochs", "train_seconds"):
                values = [run[key] for run in runs]
                row[key] = mean(values)
                row[f"{key} ±"] = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
            out.append(row)
        out.sort(key=lambda row: -row["recall@20"])
        yield table(f"Quality, {set_name(dataset)}, held out by {order}", out,
            "Recipe: {recipe} | Recall@20: {recall@20:.4f}{recall@20 ±} | "
            "NDCG@20: {ndcg@20:.4f}{ndcg@20 ±} | Validation recall@20: {valid:.4f} | "
            "Epochs: {epochs:.0f} | Training (s): {train_seconds:.0f} | Seeds: {seeds}"
        )  # fmt: skip


def models(path: Path) -> Iterator[str]:
    """Every model of the family."""
    rows = read(path, "dataset model setting embedding_dim device")
    for row in rows:
        row["printed"] = " / ".join(map(str, (row["published"] or ())[:2]))
        limit = "the budget" if " s" in row["reason"] else "validation"
        row["ended by"] = limit if row["epochs"] else ""
    rows.sort(key=lambda row: -row["ndcg@20"])
    for (dataset,), lines in group(rows, "dataset").items():
        yield table(f"The family, {set_name(dataset)}", lines,
            "Model: {model} | Setting: {setting} | Columns: {embedding_dim} | "
            "Recall@20: {recall@20:.4f} | NDCG@20: {ndcg@20:.4f} | "
            "NDCG@10: {ndcg@10:.4f} | Coverage@20: {coverage@20:.3f} | "
            "Gini@20: {gini:.3f} | Printed: {printed} | Epochs: {epochs:g} | "
            "Choice ended by: {ended by} | "
            "Choice and training (s): {train_seconds:.0f} | Device: {device} | "
            "Threads: {threads} | Budget: {budget}"
        )  # fmt: skip


def read_tail(path: Path) -> list[Row]:
    """The lines by fifths: of a script that is gone, and of models.py."""
    having, alike = ["recall_by_item"], {"device": "cpu", "embedding_dim": 64}
    rows = read(path, "dataset model")
    for row in read(path.with_name("models.jsonl"), "dataset model setting", having):
        as_here = row["setting"] == "here" or row["epochs"] == 0
        rows += [row] if as_here and row.items() >= alike.items() else []
    return list({(row["dataset"], row["model"]): row for row in rows}.values())


def tail(path: Path) -> Iterator[str]:
    """The users and items that a method is ahead for."""
    for (dataset,), lines in group(read_tail(path), "dataset").items():
        for row in lines:
            for name in ("recall_by_user", "recall_by_item"):
                row[name] = " / ".join(f"{value:.4f}" for value in row[name])
        yield table(f"Where methods are ahead, {set_name(dataset)}", lines,
            "Model: {model} | Recall@20: {recall@20:.4f} | "
            "By users, few to many: {recall_by_user} | "
            "By items, few to many: {recall_by_item}"
        )  # fmt: skip


def temperature(path: Path) -> Iterator[str]:
    """The best temperature at each density."""
    rows = read(path, "dataset core temperature")
    for row in rows:
        row |= row.get("validation", {})
        core = f", core of {row['core']}" if row["core"] else ""
        row["set"] = set_name(row["dataset"]) + core
        row["found"] = " (by density)" if row["by_density"] else ""
    rows.sort(key=lambda row: (row["density"], row["temperature"]))
    yield table("The temperature of softmax", rows,
        "Set: {set} | Density: {density:.5f} | "
        "Temperature: {temperature:.3f}{found} | "
        "Validation recall@20: {recall@20:.4f} | "
        "Validation NDCG@20: {ndcg@20:.4f} | Epochs: {epochs}"
    )  # fmt: skip


def diversity(path: Path) -> Iterator[str]:
    """The price of diversity, by each way to re-rank."""
    rows = read(path, "dataset method weight")
    for (dataset, num), lines in group(rows, "dataset", "candidates").items():
        title = f"Diversity of lists, {set_name(dataset)}, of {num} candidates"
        yield table(title, lines,
            "Method: {method} | Weight of the score: {weight:g} | "
            "Recall@20: {recall@20:.4f} | NDCG@20: {ndcg@20:.4f} | "
            "ILD@20: {ild@20:.4f} | Coverage@20: {coverage@20:.4f} | "
            "Gini@20: {gini@20:.4f} | Novelty@20: {novelty@20:.3f} | "
            "ms a list: {ms_per_list:.2f} | ms, one list: {ms_one_list:.2f}"
        )  # fmt: skip


def retrieval(path: Path) -> Iterator[str]:
    """Recall and milliseconds of each index."""
    for row in read(path, "dataset vectors asked"):
        title = f"Retrieval, {row['vectors']} vectors, {row['asked']}"
        yield table(title, row["sizes"],
            "Items: {items:,} | Index: {index} | Setting: {setting} | "
            "Recall@100: {recall@100:.4f} | ms a query: {ms_per_query:.3f} | "
            "64 together: {ms_per_query_of_64:.3f} | Build (s): {build_s:.1f} | "
            "MB: {mb:,.0f}"
        )  # fmt: skip


def approximation(path: Path) -> Iterator[str]:
    """The approximations of the paper's step."""
    rows = read(path, "dataset num_neighbors control_variate")
    for row in rows:
        row["cv"] = "with" if row["control_variate"] else "without"
    steps, solver = ([row for row in read(path, f"section dataset {key}")
                      if row["section"] == section]
                     for section, key in (("inference", "K"), ("iterations", "alpha"))
                     )  # fmt: skip
    for title, lines, columns in (
        ("The paper's step against the neighbours sampled", rows,
         "Neighbours: {num_neighbors} | Control variate: {cv} | "
         "Validation recall@20: {recall@20:.4f} | Error of the history: {error:.4f} | "
         "Variance of the aggregate: {variance:.2e} | Seconds: {train_seconds}"),
        ("Recall against the steps at inference", steps,
         "Steps: {K} | Validation recall@20: {recall@20:.4f} | "
         "Relative error: {error:.4f}"),
        ("Iterations of the solver", solver,
         "alpha: {alpha} | Iterations: {iterations} | Bound: {bound}"),
    ):  # fmt: skip
        if lines:
            yield table(title, lines, columns)


ANSWERS = (speed, product, scaling, scale_quality, quality, models, tail, temperature,
           diversity, retrieval, approximation)  # fmt: skip

if __name__ == "__main__":
    results = parser.parse_args().results
    paths = {answer: results / f"{answer.__name__}.jsonl" for answer in ANSWERS}
    tables = [text for answer, path in paths.items() if path.exists()
              for text in answer(path)]  # fmt: skip
    (results / "tables.md").write_text("\n".join(tables))
