import sys

import pytest

from ltgnn_pyg.cli.output import figures, progress, show


def test_numbers_are_finite(capsys, tmp_path):
    for path in ("-", str(tmp_path / "x.json")):
        with pytest.raises(ValueError, match="JSON"):
            show({"x": float("nan")}, "text", path)
    assert capsys.readouterr().out == "" and not list(tmp_path.iterdir())


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_for_terminals(terminal, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    progress(figures({"recall@20": 0.5, "ndcg@20": 0.25}))
    out, error = capsys.readouterr()
    assert out == ""
    assert error == ("recall@20 0.5000  ndcg@20 0.2500\n" if terminal else "")
