import inspect
import sys
from types import ModuleType

import pytest


@pytest.fixture
def calls(monkeypatch):
    """What the server is called with."""
    out, module = [], ModuleType("serving")
    module.serve = lambda *args, **kwargs: out.append((args, kwargs))
    monkeypatch.setitem(sys.modules, "ltgnn_pyg.serving", module)
    monkeypatch.delenv("LTGNN_API_KEY", raising=False)
    return out


def test_flags_are_arguments(calls, ltgnn, monkeypatch):
    assert ltgnn("serve", "run")[0] == 0
    defaults = {"host": "127.0.0.1", "port": 8000, "workers": 1, "api_key": None}
    assert calls == [(("run",), defaults)]
    monkeypatch.setenv("LTGNN_API_KEY", "secret")
    words = ["--host", "0.0.0.0", "--port", 9, "--workers", 2]
    assert ltgnn("serve", "run", *words)[0] == 0
    want = {"host": "0.0.0.0", "port": 9, "workers": 2, "api_key": "secret"}
    assert calls[1] == (("run",), want)
    assert ltgnn("serve", "run", "--api-key", "secret")[0] == 2  # Not for `ps` to see.


def test_defaults_are_those_of_the_library(ltgnn, monkeypatch):
    serving = pytest.importorskip("ltgnn_pyg.serving")
    parameters = inspect.signature(serving.serve).parameters
    called = {}
    monkeypatch.setattr(serving, "serve", lambda path, **kwargs: called.update(kwargs))
    assert ltgnn("serve", "run")[0] == 0
    for name, value in called.items():
        assert parameters[name].default == value, name
