"""The README: its code runs as pasted, and each of its figures has a raw line."""

import json
import re
from pathlib import Path

import pytest

from ltgnn_pyg.datasets import synthetic_interactions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ANCHOR = re.compile(r"<!-- (\S+\.jsonl)((?: [\w-]+=\S+)*): (.+?) -->")
FIGURE = re.compile(r"0?\.\d{3,}|\d[\d,.]* (?:s|GB|MB|ms|seconds|times)\b")


def test_code_in_readme_runs(tmp_path, monkeypatch, capsys):
    """Every snippet, in order, as a newcomer pastes them."""
    data = synthetic_interactions(300, 200, 4000)
    rows = zip(data.user.tolist(), data.item.tolist(), strict=True)
    rows = [f"u{u},i{i},{99_000 - b}" for b, (u, i) in enumerate(rows)]
    lines = ["user_id,item_id,timestamp", *rows]
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(snippets) == 6
    scope: dict = {}
    for number, snippet in enumerate(snippets):
        exec(snippet, scope)
        if number == 0:
            out = capsys.readouterr().out
            assert "recall@20" in out and "Held out by time" in out
            assert scope["raw_ids"].shape == (2, 10)
            assert not pairs(scope["known"]) & pairs(scope["split"].test)
    assert scope["how"].converged
    # The scores of the recency snippet are of a model that has not seen the test part.
    assert len(scope["report"].interactions) == len(scope["split"].train) + len(
        scope["split"].val
    )


def pairs(interactions):
    return set(zip(interactions.user.tolist(), interactions.item.tolist(), strict=True))


def value(line, key):
    """A field of a raw line, such as `rounds.-1.recall`; None if it has none."""
    for part in key.split("."):
        if isinstance(line, list):
            line = line[int(part)]
        else:
            line = line.get(part) if isinstance(line, dict) else None
    return line


@pytest.mark.parametrize("anchor", list(ANCHOR.finditer(README)), ids=lambda m: m[0])
def test_figures_are_those_of_raw_lines(anchor):
    """An anchor names a raw line and its fields; the text before it shows them."""
    file, where, keys = anchor.groups()
    lines = (ROOT / "benchmarks" / "results" / file).read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    for condition in where.split():
        name, _, expected = condition.partition("=")
        lines = [line for line in lines if str(value(line, name)) == expected]
    assert len(lines) >= 1, "no such raw line"
    assert "command" in lines[-1] and "machine" in lines[-1]
    start = README.rfind("\n\n", 0, anchor.start())
    if README[: anchor.start()].rpartition("\n")[2].startswith("|"):  # Of a table.
        start = README.rfind("\n", 0, anchor.start())
    text = README[start : anchor.start()].replace("\n", " ")
    for field in keys.split():
        key, _, form = field.partition("/")
        shown = format(value(lines[-1], key), form or ".4f")
        assert re.search(rf"(?<![\d.]){re.escape(shown)}(?![\d])", text), (
            f"expected {key} as {shown} in {text!r}"
        )


def test_figures_have_anchors():
    """Each row of a table and each paragraph with measured figures has an anchor."""
    prose = re.sub(r"```.*?```", "", README, flags=re.S)
    prose = re.sub(r"\[arXiv[^)]*\)|\]\([^)]*\)", "", prose)  # Addresses.
    for block in prose.split("\n\n"):
        rows = block.split("\n") if block.startswith("|") else [block]
        for row in rows:
            if FIGURE.search(row) and "<!-- literature -->" not in row:
                assert ANCHOR.search(row), f"figures without a raw line: {row}"
