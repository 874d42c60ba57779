"""Each script of benchmarks ends on a tiny set, and writes its lines.

Those that start no processes run in this one, as `python benchmarks/NAME.py` would.
"""

import json
import math
import runpy
import shutil
import sys
from importlib.util import find_spec

import pytest
import record

from tests.scripts import ROOT, run

BENCHMARKS = ROOT / "benchmarks"
NEEDS = {"retrieval": ["faiss"], "export": ["onnx", "onnxruntime"]}
NEEDS |= {"serving": ["uvicorn"]}
TRAINED = "epochs reason validation curve train_seconds recall@20 ndcg@20 settings"
#: The arguments of each script, and the fields of its lines.
FEW = {
    "quality": ("--recipe blend --epochs 1", TRAINED),
    "speed": (
        "--turns 1 --steps 1 --pyg-steps 1 --batch-size 1024",
        "ltgnn_epoch_s best_lightgcn_epoch_s pyg_lightgcn_epoch_s ratio_ltgnn_mf",
    ),
    "product": ("--dims 2 4 --turns 1", "products num_edges"),
    "approximation": (
        "--epochs 1 --draws 2 --neighbors 1 5 --alphas 0.2 --steps 2",
        "section alpha",
    ),
    "diversity": (
        "--epochs 1 --candidates 60 --lams 1.0 --thetas 0.7",
        "method weight recall@20 ild@20 ms_per_list",
    ),
    "retrieval": (
        "--sizes 200 2000 --nprobe 10000 --queries 70 --ones 2 --k 20",
        "vectors asked sizes norms",
    ),
    "export": ("--epochs 1 --queries 5", "ways"),
}
SLOW = {
    "scaling": (
        "--sizes 4000 8000 --turns 1 --limit 0.1 --min-steps 1 --models ltgnn mf",
        "points exponent_ltgnn exponent_mf",
    ),
    "reading": ("--num-interactions 20000 --memory-limit 100MB", "map_ids split"),
    "serving": ("--seconds 2 --clients 2 --workers 1", "section requests failed"),
}


@pytest.fixture
def rows(tmp_path, folder, monkeypatch):
    """Runs a script, and returns the lines of its result."""

    def rows(script, *args):
        for package in NEEDS.get(script, ()):
            pytest.importorskip(package)
        path = tmp_path / "out.jsonl"
        args = ["--threads", 1, "--json", path, "--embedding-dim", 16, *args]
        if script != "reading":
            args += ["--dataset", folder]
        if "scal" in script:
            args += ["--cache", tmp_path / "cache"]
        script = str(BENCHMARKS / f"{script}.py")
        monkeypatch.setattr(sys, "argv", [script, *map(str, args)])
        runpy.run_path(script, run_name="__main__")
        return record.read(path)

    return rows


@pytest.mark.parametrize(
    "script", [*FEW, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_script(rows, script, tmp_path):
    args, fields = {**FEW, **SLOW}[script]
    lines = rows(script, *args.split())
    names = {"command", "date", "machine", "torch", "dataset", "seed", "threads"}
    for line in lines:
        assert line.keys() >= names | {*fields.split()}
        assert str(tmp_path) not in line["command"]
        assert all(0 < v < 1 for k, v in line.items() if k in ("recall@20", "ndcg@20"))
    check = CHECKS.get(script)
    assert lines and (check is None or check(*lines))


def speed(line):
    """Ratios are of the seconds beside them."""
    epoch = {name: line[f"{name}_epoch_s"] for name in ("ltgnn", "mf")}
    ratio = epoch["ltgnn"] / epoch["mf"]
    return line["ratio_ltgnn_mf"] == pytest.approx(ratio, rel=0.2, abs=0.06)


def approximation(*lines):
    """The solver keeps its bound; the fixed point is without error."""
    part = {name: [line for line in lines if line["section"] == name]
            for name in ("neighbors", "iterations", "inference")}  # fmt: skip
    halves = part["neighbors"][:2], part["neighbors"][2:]
    (solver,), (two, exact) = part["iterations"], part["inference"]
    return (
        not any(line["control_variate"] for line in halves[0])
        and all(a["variance"] > b["variance"] for a, b in zip(*halves, strict=True))
        and solver["iterations"] <= solver["bound"]
        and two["error"] > exact["error"] == 0.0
    )


def diversity(plain, same, dpp):
    """All weight on the score changes nothing; less of it makes lists diverse."""
    return plain["recall@20"] == same["recall@20"] and dpp["ild@20"] > plain["ild@20"]


def retrieval(line):
    """All lists looked into is exact search."""
    return min(row["recall@20"] for row in line["sizes"]) > 0.99


def export(line):
    """The ONNX graph makes the very lists."""
    onnx, int8 = line["ways"]["onnx"], line["ways"]["int8"]
    return onnx["overlap@20"] == 1.0 and onnx["loss"] == 0.0 < int8["overlap@20"]


def scaling(line):
    """A point a model and size, and a slope a model."""
    slopes = line["exponent_ltgnn"], line["exponent_mf"]
    return len(line["points"]) == 4 and all(isinstance(x, float) for x in slopes)


def serving(load, refresh, crash):
    """Nothing is lost over a refresh and a crash."""
    failed = load["failed"] + refresh["failed"] + crash["failed"]
    versions = len(refresh["versions"]) > 1
    return failed == crash["lost"] == 0 < crash["acknowledged"] and versions


CHECKS = {check.__name__: check for check in (
    speed, approximation, diversity, retrieval, export, scaling, serving
)}  # fmt: skip


def test_temperature_by_the_density_of_a_core(rows):
    """What softmax finds is that of the law, and a core is denser."""
    args = "--recipe softmax --validation --epochs 1".split()
    (line,) = rows("quality", *args)
    found, given = rows("quality", *args, "--core", 4, "--temperature", 0.2)
    law = max(0.12, -0.79 / math.log(line["density"]))
    assert line["by_density"] and line["temperature"] == pytest.approx(law)
    assert not given["by_density"] and given["temperature"] == 0.2
    assert found == line and line["density"] != given["density"]
    assert "recall@20" not in given and 0 < given["validation"]["recall@20"] < 1


@pytest.mark.slow
def test_scale_quality_goes_on_where_it_stopped(rows):
    few = "--interactions 6000 --budget 0.1s --eval-users 100 --methods".split()
    assert len(rows("scale_quality", *few, "popularity")) == 1
    names = ["popularity", "mf", *(["als"] if find_spec("implicit") else [])]
    lines = rows("scale_quality", *few, *names)
    assert [line["method"] for line in lines] == names
    for line in lines:
        assert 0 < line["recall@20"] < 1 and 0 < line["ndcg@20"] < 1
        assert line["validation"]["recall@20"] == max(p[1] for p in line["curve"])
        assert {"peak_rss_mb", "interactions", "settings", "machine"} <= line.keys()


@pytest.mark.slow
def test_models_goes_on_where_it_stopped(tmp_path, folder):
    """A filter and two trained models, and how sure their differences are."""
    out = tmp_path / "out.jsonl"
    about = ["--dataset", folder, "--threads", 1, "--seed", 0, "--json", out]
    more = [*about, "--budget", "1s", "--models"]
    run("benchmarks/models.py", *more, "gfcf", "--setting", "here")
    first = out.read_text()
    run("benchmarks/models.py", *more, "gfcf,mf,lightgcn", "--compare")
    assert out.read_text().startswith(first)
    lines = record.read(out)
    settings = [(line["model"], line["setting"]) for line in lines]
    # No paper says what to set for such a set.
    assert settings == [("gfcf", "published"), ("mf", "here"), ("lightgcn", "here")]
    for row in record.read(out.with_suffix(".differences.jsonl")):
        low, high = row["ndcg@20"]["interval"]
        assert low <= row["ndcg@20"]["difference"] <= high
        assert row["ndcg@20"]["difference"] >= 0.0 and 0.0 < row["recall@20"]["p"] <= 1


def test_tables_and_figures_are_made_of_the_lines(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    for path in (BENCHMARKS / "results").glob("*.jsonl"):
        shutil.copy(path, tmp_path)
    about = {"dataset": "toy", "alpha": 0.2, "recall@20": 0.125, "error": 0.5}
    step = {"section": "neighbors", "num_neighbors": 5, "control_variate": True}
    step |= {"variance": 0.01, "train_seconds": 1.0}
    with (tmp_path / "approximation.jsonl").open("a") as file:
        file.write(json.dumps({**about, **step}) + "\n")
    for script in ("tables", "figures"):
        monkeypatch.setattr(sys, "argv", [script, "--results", str(tmp_path)])
        runpy.run_path(str(BENCHMARKS / f"{script}.py"), run_name="__main__")
    text = (tmp_path / "tables.md").read_text()
    assert "| 5 | with | 0.1250 | 0.5000 | 1.00e-02 | 1.0 |" in text
    kept = (BENCHMARKS / "results" / "tables.md").read_text()
    assert all(line in text for line in kept.splitlines())  # Made of today's lines.
    drawn = {path.name for path in tmp_path.glob("*.svg")}
    assert drawn >= {"scaling.svg", "tail_gowalla.svg", "models_gowalla.svg"}


def test_a_command_is_recorded_without_its_places(tmp_path):
    here = tmp_path / "benchmarks"
    here.mkdir()
    shutil.copy(BENCHMARKS / "record.py", here)
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nopen(sys.argv[-1], 'w').write('{\"value\": 1}\\n')\n"
    )
    run(here / "record.py", "name", script, "--root", "/here")
    (line,) = record.read(here / "results/name.jsonl")
    assert {"date", "machine", "torch"} <= line.keys() and line["value"] == 1
    assert line["command"].endswith("--root data") and "/here" not in line["command"]


def test_every_script_is_run_here():
    parts = {"record", "sets", "ranks", "recipes", "load"}
    parts |= {"expand", "cities", "models", "tables", "figures"}
    run_here = {*FEW, *SLOW, "scale_quality"} | parts
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == run_here
