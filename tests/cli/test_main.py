import shutil
import signal
import subprocess
import sys

import pytest

from ltgnn_pyg.cli import inspect, main
from ltgnn_pyg.version import __version__

COMMAND = [sys.executable, "-m", "ltgnn_pyg.cli.main"]


def test_every_verb_has_help(ltgnn):
    code, out, _ = ltgnn("--help")
    assert code == 0 and all(f"    {verb}" in out for verb in main.VERBS)
    for verb, module in main.VERBS.items():
        code, out, _ = ltgnn(verb, "--help")
        assert code == 0 and module.__doc__.strip().split("\n")[0] in out
    assert ltgnn("--version")[1] == f"ltgnn {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["evaluate"],
        ["inspect", "x", "--jso", "y"],  # No abbreviations.
        ["recommend", "x", "--user", "1", "--epochs", "3"],
        ["recommend", "x", "--user", "1", "-k", "ten"],
        ["recommend", "x", "--all-users"],
        ["recommend", "x", "--user", "1", "--out", "y.csv"],
        ["evaluate", "x", "--metrics", "luck"],
        ["train", "x"],
        ["train", "x", "--out", "y", "--model", "mf", "--alpha", "0.1"],
        ["train", "x", "--resume", "--alpha", "0.1"],
        ["train", "x", "--out", "y", "--max-epochs", "3"],  # --epochs, one way.
    ],
)
def test_a_wrong_command_is_code_2(ltgnn, words):
    code, out, error = ltgnn(*words)
    assert code == 2 and out == "" and "usage: ltgnn" in error


@pytest.mark.parametrize(
    "words, text",
    [
        (["inspect", "no.csv"], "No such file or directory: 'no.csv'"),
        (["recommend", ".", "--user", "1"], "Expected a finished run"),
        (["inspect", "synthetic", "--sep", ";"], "Expected no --sep"),
        (["inspect", "synthetic", "--threads", "0"], None),
        (["evaluate", ".", "--threads", "0"], "Expected a positive --threads"),
        (["evaluate", ".", "--device", "abacus"], "Expected a --device"),
    ],
)
def test_a_failure_is_code_1_and_a_line(ltgnn, words, text):
    code, out, error = ltgnn(*words)
    assert out == "" and code == (1 if text else 2)
    if text:
        assert error.startswith("ltgnn: ") and error.count("\n") == 1 and text in error


def test_an_interrupt_is_code_130(ltgnn, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "run", interrupted)
    assert ltgnn("inspect", "synthetic")[0] == 128 + signal.SIGINT


def test_warnings_are_a_line(ltgnn, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("user_id,item_id,rating\na,b,good\nb,c,bad\n")
    code, _, error = ltgnn("inspect", path)
    assert code == 0 and error.startswith("ltgnn: ") and error.count("\n") == 1


def test_a_closed_pipe_is_quiet(folder):
    command = [*COMMAND, "recommend", str(folder), "--user", "-", "-k", "30"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, **pipes, text=True)
    process.stdin.write("u1\n" * 2000)  # Lists of more than a pipe holds.
    process.stdin.close()
    assert process.stdout.readline() == "user u1\n"
    process.stdout.close()
    assert process.stderr.read().count("\n") <= 1  # That lists are short.
    assert process.wait() == 128 + signal.SIGPIPE


@pytest.mark.parametrize("text", ["[]", "{", '{"format": 1}'])
def test_a_damaged_run_is_a_sentence(text, folder, tmp_path, ltgnn):
    run = shutil.copytree(folder, tmp_path / "run")
    (run / "config.json").write_text(text)
    for words in (
        ["evaluate", run], ["recommend", run, "--user", "u1"], ["index", run],
        ["similar", run, "--item", "i1"], ["export", run, "--to", "numpy"],
        ["inspect", run], ["serve", run], ["train", run, "--resume"],
    ):  # fmt: skip
        code, out, error = ltgnn(*words)
        assert (code, out) == (1, "") and error.count("\n") == 1
        assert error.startswith("ltgnn: Expected ") and str(run) in error
