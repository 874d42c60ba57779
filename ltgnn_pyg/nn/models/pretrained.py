"""A model as two files: what it was built with, and its numbers."""

import inspect
import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Module

from ltgnn_pyg.datasets.replace_file import replace_file, replace_text

CONFIG, WEIGHTS = "config.json", "model.safetensors"
PREFIX = "model."  #: Of the names of its tensors, beside which a run has others.
loss = import_module("ltgnn_pyg.nn.loss")  #: Whose public names are written.


def constructor_settings(module: Module) -> dict[str, Any]:
    """The name of a class, and the arguments that an object of it was built with.

    They are read from the attributes of their names. Objectives and functions of
    :mod:`ltgnn_pyg.nn.loss` are written by name; of others, :obj:`{"missing": TYPE}`
    says that they must be given again.

    Args:
        module (torch.nn.Module): The object.

    Raises:
        ValueError: If an argument has no attribute of its name.
    """
    settings = {}
    for name, default in _arguments(type(module)).items():
        if not hasattr(module, name):
            raise ValueError(
                f"Expected '{type(module).__name__}' to keep its argument '{name}' "
                f"(got no such attribute); set 'self.{name}' in its constructor"
            )
        value = _plain(getattr(module, name))
        if not (_is_missing(value) and getattr(module, name) is default):
            settings[name] = value
    return {"name": type(module).__name__, "settings": settings}


def save(module: Module, path: str | os.PathLike[str], config: dict[str, Any]) -> None:
    """Writes tensors and configuration, the latter last; each all or nothing."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    # Copies, as tensors that share numbers are refused.
    tensors = {
        PREFIX + name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in module.state_dict().items()
        if isinstance(value, Tensor)
    }
    replace_file(folder / WEIGHTS, lambda to: save_file(tensors, to))
    replace_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of a folder.

    Raises:
        ValueError: If the file holds no object of JSON.
    """
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise ValueError(
            f"Expected '{path}' as it was written, an object of JSON (got another "
            "text); train anew, or take a copy"
        )
    return config


def load(cls: Any, path: str | os.PathLike[str], given: dict[str, Any]) -> Any:
    """Builds what :func:`save` wrote; :obj:`given` goes before what was saved."""
    folder = Path(path)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"Expected a folder with '{CONFIG}' and '{WEIGHTS}' (got '{folder}', "
                f"which has no '{name}'); nothing is downloaded: for a repository of a "
                "hub, pass the folder it was downloaded to"
            )
    about = read_config(folder / CONFIG).get("model")
    if not isinstance(about, dict) or not about.keys() >= {"name", "settings"}:
        raise ValueError(
            f"Expected 'name' and 'settings' as 'model' in '{folder / CONFIG}' (got "
            f"{about}); write what 'model.settings()' returns"
        )
    if about["name"] != cls.__name__:
        raise ValueError(
            f"Expected a '{cls.__name__}' in '{folder}' (got a '{about['name']}'); "
            f"call '{about['name']}.from_pretrained'"
        )
    arguments = about["settings"] | given
    for name in about["settings"].keys() - given.keys():
        value = arguments[name]
        if _is_missing(value):
            raise ValueError(
                f"Expected '{name}', which is not among what was saved (got none; it "
                f"was of type '{value['missing']}'); call "
                f"'{cls.__name__}.from_pretrained(path, {name}=...)'"
            )
        arguments[name] = _read(value)
    found = read_tensors(folder / WEIGHTS, PREFIX)
    tensors = {name.removeprefix(PREFIX): value for name, value in found.items()}
    if not tensors:
        raise ValueError(
            f"Expected the tensors of a model in '{folder / WEIGHTS}' (got none); pass "
            "'model=' to 'RunFolder.write'"
        )
    model = cls(**arguments)
    own = [tensors[name] for name, _ in model.named_parameters() if name in tensors]
    model = model.to(own[0].dtype) if own else model
    state = model.state_dict()  # A history, which is no tensor, stays empty.
    state = {k: v for k, v in state.items() if not isinstance(v, Tensor)}
    try:
        model.load_state_dict(state | tensors)
    except RuntimeError as error:
        raise ValueError(
            f"Expected the tensors of a '{cls.__name__}' of these settings in "
            f"'{folder / WEIGHTS}' (got: {error}); pass the arguments that it was "
            "built with"
        ) from error
    return model


def read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors of a file whose names begin with a prefix, mapped into memory.

    Raises:
        ValueError: If the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]
            return {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(
            f"Expected '{path}' as it was written (got: {error}); train anew, or take "
            "a copy"
        ) from error


def _arguments(cls: type) -> dict[str, Any]:
    """The arguments of a constructor by name, and their defaults; also those that it
    hands on by `**kwargs`.
    """
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        _, *parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        for each in parameters:
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                found.setdefault(each.name, each.default)
        if not any(each.kind == each.VAR_KEYWORD for each in parameters):
            break
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        values = [_plain(each) for each in value]
        return next(filter(_is_missing, values), values)
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    if _public(getattr(value, "__name__", "")) is value:  # A function.
        return {"name": value.__name__}
    if _public(type(value).__name__) is type(value):
        about = constructor_settings(value)
        if not any(map(_is_missing, about["settings"].values())):
            return about
    return {"missing": type(value).__name__}


def _read(value: Any) -> Any:
    """The value that :func:`_plain` wrote."""
    if isinstance(value, str) and value.startswith("torch."):
        dtype = getattr(torch, value.removeprefix("torch."), None)
        return dtype if isinstance(dtype, torch.dtype) else value
    if not isinstance(value, dict):
        return value
    found = _public(value["name"])
    if found is None:
        raise ValueError(
            f"Expected a public name of 'ltgnn_pyg.nn.loss' (got '{value['name']}'); "
            "install the version of 'ltgnn_pyg' that saved the model, or newer"
        )
    if "settings" not in value:
        return found
    return found(**{name: _read(each) for name, each in value["settings"].items()})


def _public(name: str) -> Any:
    """The public object of :mod:`ltgnn_pyg.nn.loss` of a name, if there is one."""
    return getattr(loss, name) if name in loss.__all__ else None


def _is_missing(value: Any) -> bool:
    return isinstance(value, dict) and "missing" in value
