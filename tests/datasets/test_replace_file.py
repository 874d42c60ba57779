"""A file is there in full, or as it was before."""

import os
from multiprocessing import get_context

import pytest

from ltgnn_pyg.datasets.replace_file import replace_file, replace_text


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.json"
    assert replace_text(path, "ü\n") == path

    def broken(to):
        to.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        replace_file(path, broken)
    assert path.read_text("utf-8") == "ü\n" and os.listdir(tmp_path) == ["x.json"]
    before = path.stat().st_mode
    replace_file(path, lambda to: (to.write_text("new"), to.chmod(0o600)))
    assert path.read_text() == "new" and path.stat().st_mode == before


def _write(path, letter):
    for _ in range(100):
        replace_text(path, letter * 10_000)


def test_several_processes_write_one_file(tmp_path):
    path, context = tmp_path / "x", get_context("fork")
    replace_text(path, "a" * 10_000)
    writers = [context.Process(target=_write, args=(path, letter)) for letter in "abc"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        text = path.read_text()
        assert len(text) == 10_000 and len(set(text)) == 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert os.listdir(tmp_path) == ["x"]
