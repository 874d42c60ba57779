"""A checkpoint of several processes, which another number of them can go on from."""

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    MetadataIndex,
    TensorProperties,
)
from torch.distributed.checkpoint.planner import (
    TensorWriteData,
    WriteItem,
    WriteItemType,
)
from torch.optim import Optimizer

from ltgnn_pyg.datasets.replace_file import replace_text
from ltgnn_pyg.distributed.partition import Partition
from ltgnn_pyg.distributed.process_group import answered
from ltgnn_pyg.distributed.recommender import ShardedRecommender

GENERATORS = "global_generators"
TABLE = "model.inputs.weight"
FORMAT = "ltgnn_pyg sharded checkpoint"


class RowShard(Tensor):
    """Some rows of a table that :mod:`torch.distributed.checkpoint` writes and reads,
    by their place in the whole table.
    """

    local: Tensor
    chunks: list[tuple[int, int, int]]

    @staticmethod
    def __new__(cls, local: Tensor, partition: Partition) -> "RowShard":
        """Makes a tensor of the size of the whole table, which holds no numbers."""
        size = partition.num_nodes, local.size(1)
        out = Tensor._make_wrapper_subclass(cls, size, dtype=local.dtype)
        out.local, out.chunks = local, partition.chunks()
        return out

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore

    @classmethod
    def __torch_dispatch__(cls, *args: Any, **kwargs: Any) -> Any:
        """Refuses to compute with it."""
        raise NotImplementedError("Expected no computing with a 'RowShard'")

    def __create_chunk_list__(self) -> list[ChunkStorageMetadata]:
        dim = self.local.size(1)
        return [
            ChunkStorageMetadata(torch.Size([first, 0]), torch.Size([num, dim]))
            for _, first, num in self.chunks
        ]

    def __create_write_items__(self, fqn: str, value: Any) -> list[WriteItem]:
        properties = TensorProperties(dtype=self.local.dtype)
        return [
            WriteItem(
                MetadataIndex(fqn, chunk.offsets),
                WriteItemType.SHARD,
                tensor_data=TensorWriteData(chunk, properties, self.size()),
            )
            for chunk in self.__create_chunk_list__()
        ]

    def __get_tensor_shard__(self, index: MetadataIndex) -> Tensor:
        assert index.offset is not None
        here = {first: slice(low, low + num) for low, first, num in self.chunks}
        return self.local[here[index.offset[0]]]


def save_sharded(
    model: ShardedRecommender, path: str | os.PathLike[str], /, **state: Any
) -> None:
    r"""Writes everything a run of several processes needs to go on, all or nothing.

    Each process writes its rows of the tables, by :mod:`torch.distributed.checkpoint`,
    into a folder beside :obj:`path`; then the first one writes :obj:`path`, which names
    the folder and holds the plain values. A run killed at any moment leaves the last
    complete checkpoint. All processes must call it, and see the same disk.

    Args:
        model (ShardedRecommender): The model, whose table tells what is sharded.
        path (str): The file.
        **state (Any): The objects to save, by name, as for
            :func:`~ltgnn_pyg.train.checkpoint.save_checkpoint`.

    *Cost:* One write of all tables, by all processes together.
    """
    path, partition = Path(path), model.partition
    tables = _Tables(model, state.get("optimizer"))
    objects = [name for name, value in state.items() if hasattr(value, "state_dict")]
    tensors: dict[str, Tensor] = {}
    plain = {}
    for name, value in {**state, GENERATORS: _get_generators()}.items():
        value = value.state_dict() if name in objects else value
        plain[name] = _encode(value, (name,), tables, tensors)
    number = torch.tensor([_next_number(path) if partition.rank == 0 else 0])
    number = partition.to_backend(number)
    with answered():
        dist.broadcast(number, src=0)
    folder = _folder(path, int(number))
    with _quietly(), answered():
        dcp.save(tensors, checkpoint_id=folder)
    if partition.rank == 0:
        content = {"format": FORMAT, "number": int(number), "objects": objects}
        replace_text(path, json.dumps({**content, "state": plain}))
        shutil.rmtree(_folder(path, 1 - int(number)), ignore_errors=True)


def load_sharded(
    model: ShardedRecommender, path: str | os.PathLike[str], /, **state: Any
) -> dict[str, Any]:
    """Restores objects from a checkpoint of :func:`save_sharded`, in place; each
    process takes its rows, however many had saved.

    Args:
        model (ShardedRecommender): The model, whose partition tells which rows.
        path (str): The file.
        **state (Any): The objects to restore, by the names they were saved under. If
            there are none, what is no object is returned.

    Returns:
        All else that was saved, by name, if no objects are named.

    Raises:
        ValueError: If the file is no such checkpoint, or lacks a name.

    *Cost:* One read of what is restored.
    """
    path, partition = Path(path), model.partition
    try:
        content = json.loads(path.read_text())
        known = content["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise ValueError(
            f"Expected a checkpoint of several processes at '{path}' (got another "
            "file); go on with as one process, or start in another folder"
        )
    names = set(content["state"]) - set(content["objects"])
    if state:
        names = {*state, GENERATORS}
    if missing := names - set(content["state"]):
        raise ValueError(
            f"Expected {sorted(missing)} in '{path}' (got {sorted(content['state'])}); "
            "load what was saved"
        )
    tensors: dict[str, Tensor] = {}
    device = model.inputs.table().device
    found = {
        name: _decode(content["state"][name], partition, device, tensors)
        for name in sorted(names)
    }
    with _quietly(), answered():
        dcp.load(tensors, checkpoint_id=_folder(path, content["number"]))
    _set_generators(found.pop(GENERATORS))
    if not state:
        return found
    for name, value in state.items():
        value.load_state_dict(found[name])
    return {}


class _Tables:
    """The places of tables in what is saved."""

    def __init__(self, model: ShardedRecommender, optimizer: Optimizer | None) -> None:
        self.partition, table = model.partition, model.inputs.table()
        self.size = table.size()
        tensors = [*model.parameters(), *model.buffers()]
        self.position = _find(table, tensors)
        groups = [] if optimizer is None else optimizer.param_groups
        self.number = _find(table, [p for group in groups for p in group["params"]])

    def __contains__(self, place: tuple[tuple[Any, ...], Tensor]) -> bool:
        path, tensor = place
        if tensor.size() != self.size:
            return False
        if path[0] == "optimizer":
            return path[1:3] == ("state", self.number)
        if path[-2] == "kept":  # Parameters and buffers, in their order.
            return bool(path[-1] == self.position)
        return path[-1] in (TABLE, f"module.{TABLE}")


def _find(tensor: Tensor, among: list[Any]) -> int:
    return next((i for i, other in enumerate(among) if other is tensor), -1)


def _encode(
    value: Any, path: tuple[Any, ...], tables: _Tables, tensors: dict[str, Tensor]
) -> Any:
    """The plain form of a value, whose tensors are put aside under a name."""
    if isinstance(value, Tensor):
        name = "/".join(map(str, path))
        whole = (path, value) not in tables
        value = value.detach()
        tensors[name] = value if whole else RowShard(value, tables.partition)
        size = list(tensors[name].size())
        dtype = str(value.dtype).removeprefix("torch.")
        return {"tensor": name, "size": size, "dtype": dtype, "whole": whole}
    if isinstance(value, dict):
        parts = [[k, _encode(v, (*path, k), tables, tensors)] for k, v in value.items()]
        return {"dict": parts}
    if isinstance(value, list | tuple):
        numbered = enumerate(value)
        return [_encode(part, (*path, i), tables, tensors) for i, part in numbered]
    return value


def _decode(
    value: Any, partition: Partition, device: torch.device, tensors: dict[str, Tensor]
) -> Any:
    """The value of a plain form, with tensors to be filled."""
    if isinstance(value, list):
        return [_decode(part, partition, device, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        pairs = value["dict"]
        return {k: _decode(v, partition, device, tensors) for k, v in pairs}
    dtype = getattr(torch, value["dtype"])
    if value["whole"]:
        out = tensors[value["tensor"]] = torch.empty(value["size"], dtype=dtype)
        return out
    size = partition.num_rows, value["size"][1]
    out = torch.empty(size, dtype=dtype, device=device)
    tensors[value["tensor"]] = RowShard(out, partition)
    return out


def _next_number(path: Path) -> int:
    return 1 - json.loads(path.read_text())["number"] if path.exists() else 0


def _folder(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _get_generators() -> list[Tensor]:
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states.append(torch.cuda.get_rng_state())
    return states


def _set_generators(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if torch.cuda.is_initialized() and len(states) > 1:
        torch.cuda.set_rng_state(states[1])


@contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings that say nothing to a user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
