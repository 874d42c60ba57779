import json
import random

import pytest
import torch

from ltgnn_pyg.cli.main import main

# Ids that break what is careless: blanks, quotes, separators, zeros, signs.
STRANGE = ["007", "7", "a b", 'q"x"', "c,d", " ü", "-5", "-x", "日本", "o'b"]


@pytest.fixture(scope="session")
def ratings(tmp_path_factory):
    """A small file of interactions, without times, of ids of all kinds."""
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    draw = random.Random(0)
    users = STRANGE + [f"u{n}" for n in range(40)]
    items = STRANGE + [f"i{n}" for n in range(30)]
    pairs = {
        (user, items[int(draw.random() ** 2 * len(items))])
        for user in users
        for _ in range(15)
    }
    pairs.add(("only", "i0"))
    quoted = (
        ",".join('"' + raw.replace('"', '""') + '"' for raw in pair)
        for pair in sorted(pairs)
    )
    path.write_text("\n".join(["user_id,item_id", *quoted]) + "\n")
    return path


@pytest.fixture(scope="session")
def folder(ratings, tmp_path_factory):
    """A finished run."""
    path = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(99)  # Of no matter.
    assert main(["train", str(ratings), "--out", str(path), "--epochs", "3"]) == 0
    return path


@pytest.fixture
def ltgnn(capsys):
    """Runs a command: its exit code, and what it says."""

    def call(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as error:
            code = error.code
        out, error = capsys.readouterr()
        assert "Traceback" not in error
        return code, out, error

    return call


@pytest.fixture
def as_json(ltgnn):
    """The JSON of a command that ends well."""

    def call(*words):
        code, out, error = ltgnn(*words, "--json", "-")
        assert code == 0, error
        return json.loads(out, parse_constant=pytest.fail)

    return call
