"""One file that a killed run goes on from as if nothing had happened."""

import copy
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

GLOBAL = "global_generators"
MAGIC = b"ltgnn_pyg checkpoint"  # Ends the file, before the checksum of the rest.


def save_checkpoint(path: str | os.PathLike[str], **state: Any) -> None:
    r"""Writes everything a run needs to go on, as one file, all or nothing.

    The file is written beside its place and moved there when it is complete and
    on the disk, so that a run killed at any moment, also while saving, leaves the
    last complete checkpoint. It ends with its checksum (SHA-256). The state of
    torch's global generators goes with it.

    .. code-block:: python

        save_checkpoint("run.pt", model=model, optimizer=optimizer,
                        generator=generator, epoch=epoch)

    Args:
        path (str): The file.
        **state (Any): The objects to save, by name: objects with :obj:`state_dict` and
            :obj:`load_state_dict` (modules with their histories, optimizers,
            schedulers), :class:`torch.Generator`, or plain values (numbers,
            strings, tensors, lists and dicts of them).

    Raises:
        ValueError: If a name is taken or a value is none of these, which could not
            be loaded again.

    *Cost:* One write of all tables.
    """
    if GLOBAL in state:
        raise ValueError(
            f"Expected another name than '{GLOBAL}' (got it); it is taken, rename it"
        )
    content = {name: _get_state(value) for name, value in state.items()}
    for name, value in content.items():
        _check_plain(name, value)
    content[GLOBAL] = _get_global_generators()
    path = Path(path)
    part = path.with_name(path.name + ".tmp")
    with open(part, "wb") as file:
        summed = _Summed(file)
        torch.save(content, summed)  # type: ignore[arg-type]
        file.write(MAGIC + summed.sha256.digest())
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    if os.name == "posix":  # The new name is on the disk, too.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load_checkpoint(path: str | os.PathLike[str], **state: Any) -> dict[str, Any]:
    r"""Restores objects from a file of :func:`save_checkpoint`, in place, all or
    nothing.

    The checksum is compared first; then loading is tried on copies of the modules
    without numbers. If an object refuses its state nevertheless, the others get
    theirs back.

    .. code-block:: python

        epoch = load_checkpoint("run.pt", model=model, optimizer=optimizer,
                                generator=generator)["epoch"]

    Args:
        path (str): The file.
        **state (Any): The objects to restore, by the names they were saved under.

    Returns:
        The other parts of the file, by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint, is damaged, lacks a name, or does
            not fit an object; nothing is changed then.

    *Cost:* Two reads of the file; memory for its content, once.
    """
    with open(path, "rb") as file:
        _check_sum(file, path)
        file.seek(0)
        content = torch.load(file, map_location="cpu", weights_only=True)
    missing = set(state) - set(content)
    if missing:
        raise ValueError(
            f"Expected {sorted(missing)} in '{path}' (got {sorted(content)}); load "
            "what was saved"
        )
    # What is rehearsed exactly comes last, so that nothing fails after it:
    order = sorted(state, key=lambda name: isinstance(state[name], Module))
    for name in order:
        with _naming(name, path):
            _rehearse(state[name], content[name])
    undo: list[Callable[[], object]] = [
        partial(_set_global_generators, _get_global_generators())
    ]
    try:
        _set_global_generators(content.pop(GLOBAL))
        for name in order:
            with _naming(name, path):
                undo.append(_keep(state[name]))
                _set_state(state[name], content.pop(name))
    except BaseException:
        for put_back in reversed(undo):
            put_back()
        raise
    return content


@runtime_checkable
class _Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class _Summed:
    """A file that is summed up while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _check_sum(file: BinaryIO, path: str | os.PathLike[str]) -> None:
    sha256 = hashlib.sha256()
    left = file.seek(0, os.SEEK_END) - len(MAGIC) - sha256.digest_size
    file.seek(max(left, 0))
    tail = file.read()
    if left < 0 or not tail.startswith(MAGIC):
        raise ValueError(
            f"Expected a checkpoint of 'save_checkpoint' at '{path}' (got another "
            "file, or one that was cut short); start without it"
        )
    file.seek(0)
    while left > 0 and (block := file.read(min(left, 2**20))):
        sha256.update(block)
        left -= len(block)
    if tail != MAGIC + sha256.digest():
        raise ValueError(
            f"Expected the checkpoint at '{path}' as it was written (got another "
            "checksum: the file is damaged); take another one, or start without it"
        )


def _check_plain(name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _check_plain(f"{name}[{key!r}]", part)
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            _check_plain(f"{name}[{i}]", part)
    elif value is not None and type(value) not in (bool, int, float, str):
        if not isinstance(value, Tensor):
            raise ValueError(
                f"Expected a tensor, number, string, list or dict of them to save (got "
                f"'{name}' of {type(value)}, which could not be loaded safely); "
                "convert it first"
            )


def _get_state(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return value.get_state()
    return value.state_dict() if isinstance(value, _Stateful) else value


def _set_state(value: Any, saved: Any) -> None:
    if isinstance(value, torch.Generator):
        value.set_state(saved)
    else:
        value.load_state_dict(saved)
    if isinstance(value, Optimizer):
        _check_moments(value)


@contextmanager
def _naming(name: str, path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"Expected the state of '{name}' in '{path}' to fit the object of that "
            f"name (got: {error}); build it as it was when it was saved"
        ) from error


def _rehearse(value: Any, saved: Any) -> None:
    """Raises if the state does not fit, and changes nothing."""
    if isinstance(value, Module):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That nothing is copied to "meta".
            _hollow(value).load_state_dict(saved)
    elif isinstance(value, LRScheduler):
        if set(saved) != set(value.state_dict()):
            raise ValueError(
                f"the state of another scheduler than {type(value).__name__}"
            )
    elif not isinstance(value, torch.Generator | _Stateful):
        raise ValueError(
            f"a {type(value).__name__}, into which nothing can be loaded: plain values "
            "are returned"
        )


def _hollow(module: Module) -> Module:
    """A copy of a module whose tensors hold no numbers."""
    out = object.__new__(type(module))
    for name, value in vars(module).items():  # Those of a history, too.
        vars(out)[name] = _empty(value) if isinstance(value, Tensor) else value
    out.__dict__.update(
        _parameters={
            name: None if p is None else Parameter(_empty(p), p.requires_grad)
            for name, p in module._parameters.items()
        },
        _buffers={
            name: None if b is None else _empty(b)
            for name, b in module._buffers.items()
        },
        _modules={
            name: None if m is None else _hollow(m)
            for name, m in module._modules.items()
        },
        _non_persistent_buffers_set=set(module._non_persistent_buffers_set),
    )
    return out


def _empty(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta")


def _check_moments(optimizer: Optimizer) -> None:
    """Raises if a table of the state could not belong to its parameter."""
    for param, state in optimizer.state.items():
        for name, table in state.items():
            if isinstance(table, Tensor) and table.dim() == param.dim():
                sizes = zip(table.size(), param.size(), strict=True)
                if any(size not in (1, expected) for size, expected in sizes):
                    raise ValueError(
                        f"'{name}' {list(table.size())} for a parameter "
                        f"{list(param.size())}"
                    )


def _keep(value: Any) -> Callable[[], object]:
    """Returns what puts the present state of an object back."""
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, Optimizer):  # It takes new tables and leaves the old ones.
        old = {"state": value.state, "param_groups": value.param_groups}
        return partial(value.__dict__.update, old)
    if isinstance(value, Module):
        return lambda: None
    return partial(value.load_state_dict, copy.deepcopy(value.state_dict()))


def _get_global_generators() -> list[Tensor]:
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    return states


def _set_global_generators(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device, state in enumerate(states[1 : 1 + num_devices]):
        torch.cuda.set_rng_state(state, device)
