"""One file that a killed run goes on from as if nothing had happened."""

import os
from pathlib import Path
from typing import Any

import torch

GLOBAL = "global_generators"


def save_checkpoint(path: str | os.PathLike[str], **state: Any) -> None:
    r"""Writes everything a run needs to go on, as one file, all or nothing.

    The file is written beside its place and moved there when it is complete and
    on the disk, so that a run killed at any moment, also while saving, leaves the
    last complete checkpoint. The state of torch's global generators goes with it.

    .. code-block:: python

        save_checkpoint("run.pt", model=model, optimizer=optimizer,
                        generator=generator, epoch=epoch)

    Args:
        path (str): The file.
        **state (Any): What to save, by name: objects with :obj:`state_dict` and
            :obj:`load_state_dict` (modules with their histories, optimizers,
            schedulers), :class:`torch.Generator`, or plain values (numbers,
            strings, tensors, lists and dicts of them).

    Raises:
        ValueError: If a name is taken or a value is none of these, which could not
            be loaded again.

    *Cost:* One write of all tables.
    """
    if GLOBAL in state:
        raise ValueError(f"Expected another name than '{GLOBAL}', which is taken")
    content = {name: _get_state(value) for name, value in state.items()}
    for name, value in content.items():
        _check(name, value)
    content[GLOBAL] = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        content[GLOBAL] += torch.cuda.get_rng_state_all()
    path = Path(path)
    part = path.with_name(path.name + ".tmp")
    with open(part, "wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def load_checkpoint(path: str | os.PathLike[str], **state: Any) -> dict[str, Any]:
    r"""Restores objects from a file of :func:`save_checkpoint`, in place.

    .. code-block:: python

        epoch = load_checkpoint("run.pt", model=model, optimizer=optimizer,
                                generator=generator)["epoch"]

    Args:
        path (str): The file.
        **state (Any): The objects to restore, by the names they were saved under.

    Returns:
        What else the file holds, by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint or lacks a name.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"Expected a checkpoint at '{path}' (got a file that cannot be read: "
            f"{error}); start without it"
        ) from error
    if not isinstance(content, dict) or GLOBAL not in content:
        raise ValueError(
            f"Expected a checkpoint of 'save_checkpoint' at '{path}' (got something "
            "else, such as the state of a model)"
        )
    missing = set(state) - set(content)
    if missing:
        raise ValueError(
            f"Expected {sorted(missing)} in '{path}' (got {sorted(content)})"
        )
    for name, value in state.items():
        saved = content.pop(name)
        if isinstance(value, torch.Generator):
            value.set_state(saved)
        else:
            value.load_state_dict(saved)
    generators = content.pop(GLOBAL)
    torch.set_rng_state(generators[0])
    if len(generators) > 1 and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(generators[1:])
    return content


def _check(name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _check(f"{name}[{key!r}]", part)
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            _check(f"{name}[{i}]", part)
    elif value is not None and type(value) not in (bool, int, float, str):
        if not isinstance(value, torch.Tensor):
            raise ValueError(
                f"Expected a tensor, number, string, list or dict of them to save (got "
                f"'{name}' of {type(value)}, which could not be loaded safely); "
                "convert it first"
            )


def _get_state(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return value.get_state()
    return value.state_dict() if hasattr(value, "state_dict") else value
