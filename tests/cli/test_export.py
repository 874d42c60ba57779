import inspect
import shutil

import pytest

from ltgnn_pyg import export
from ltgnn_pyg.cli.export import FORMS
from ltgnn_pyg.runs.run_folder import RunFolder


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_the_function(form, folder, tmp_path, ltgnn):
    if form == "onnx":
        pytest.importorskip("onnx")
    run = shutil.copytree(folder, tmp_path / "run")
    code, out, error = ltgnn("export", run, "--to", form)
    assert code == 0, error
    paths = FORMS[form](RunFolder.open(folder), tmp_path / "other")
    place = run / "export" / form
    assert out.splitlines() == [str(place / path.name) for path in paths]
    words = ["--to", form, "--out", tmp_path / "out"]
    assert ltgnn("export", folder, *words)[0] == 0
    for path in paths:
        for found in (place / path.name, tmp_path / "out" / path.name):
            one, other = found.read_bytes(), path.read_bytes()
            assert len(one) == len(other)
            # Its metadata are in no fixed order.
            assert one == other or path.suffix == ".safetensors"


def test_a_form_is_needed(folder, ltgnn):
    assert ltgnn("export", folder)[0] == ltgnn("export", folder, "--to", "zip")[0] == 2
    assert ltgnn("export", folder / "none", "--to", "numpy")[0] == 1


def test_every_function_is_a_form():
    public = {getattr(export, name) for name in export.__all__ if name[:3] == "to_"}
    assert set(FORMS.values()) == public and all(map(inspect.isfunction, public))
