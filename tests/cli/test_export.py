import sys
from types import ModuleType

import pytest

from ltgnn_pyg.cli.export import FORMS
from ltgnn_pyg.run_folder import RunFolder


@pytest.fixture
def calls(monkeypatch):
    """What each of the functions is called with."""
    out, module = [], ModuleType("export")

    def stand_in(name):
        def export(run, out_path):
            out.append((name, run, out_path))
            return [out_path / "one", out_path / "two"]

        return export

    for name in FORMS:
        setattr(module, f"to_{name}", stand_in(name))
    monkeypatch.setitem(sys.modules, "ltgnn_pyg.export", module)
    return out


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_the_function(form, calls, folder, tmp_path, ltgnn):
    code, out, _ = ltgnn("export", folder, "--to", form)
    place = folder / "export" / form
    assert code == 0 and out.splitlines() == [f"{place}/one", f"{place}/two"]
    assert ltgnn("export", folder, "--to", form, "--out", tmp_path)[0] == 0
    assert [(name, path) for name, _, path in calls] == [
        (form, place),
        (form, tmp_path),
    ]
    assert all(isinstance(run, RunFolder) for _, run, _ in calls)


def test_a_form_is_needed(calls, folder, ltgnn):
    assert ltgnn("export", folder)[0] == ltgnn("export", folder, "--to", "zip")[0] == 2
    assert ltgnn("export", folder / "none", "--to", "numpy")[0] == 1 and not calls


def test_every_form_is_of_the_library():
    export = pytest.importorskip("ltgnn_pyg.export")
    assert all(callable(getattr(export, f"to_{form}")) for form in FORMS)
