import os
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from ltgnn_pyg.inputs.row_adam import RowAdam


def memory_map(tensor: Tensor, path: str | os.PathLike[str]) -> Tensor:
    r"""Moves a tensor to a file and returns it mapped into memory.

    The mapped tensor is used like any other. The system keeps in memory the pages
    that are in use and writes the others back, so that tables and graphs may
    exceed it; a step of LTGNN touches the rows of its batch and their neighbours
    only. Writes to the tensor are writes to the file.

    A file of that name is replaced, never written over: a tensor mapped to it,
    which may be :obj:`tensor` itself, keeps its numbers, and what is written to it
    from then on is in no file.

    Args:
        tensor (torch.Tensor): A dense tensor or a sparse CSR matrix on the CPU, or
            a dense tensor on the :obj:`"meta"` device, which is made of zeros and
            never takes memory.
        path (str): The file; a matrix takes three, :obj:`path` with
            :obj:`.crow`, :obj:`.col` and :obj:`.value` appended.

    Returns:
        The same numbers, shape and type.

    Raises:
        ValueError: If the tensor is on another device or has another layout.

    *Cost:* One write of the tensor.
    """
    if tensor.device.type not in ("cpu", "meta"):
        raise ValueError(
            f"Expected a tensor on the CPU (got {tensor.device}); move it with '.cpu()'"
        )
    if tensor.layout == torch.sparse_csr:
        return torch.sparse_csr_tensor(
            memory_map(tensor.crow_indices(), f"{os.fspath(path)}.crow"),
            memory_map(tensor.col_indices(), f"{os.fspath(path)}.col"),
            memory_map(tensor.values(), f"{os.fspath(path)}.value"),
            tensor.size(),
            check_invariants=False,
        )
    if tensor.layout != torch.strided:
        raise ValueError(
            f"Expected a dense tensor or sparse CSR (got {tensor.layout}); convert it "
            "with '.to_sparse_csr()'"
        )
    size, beside = tensor.numel(), f"{os.fspath(path)}.tmp"
    with open(beside, "wb") as file:  # Of its full size from the start, all zeros.
        file.truncate(max(size, 1) * tensor.element_size())
    out = torch.from_file(beside, shared=True, size=size, dtype=tensor.dtype)
    out = out.view(tensor.size())
    if not tensor.is_meta:
        out.copy_(tensor.detach())
    os.replace(beside, path)
    return out


def memory_map_(
    module_or_optimizer: Module | RowAdam, folder: str | os.PathLike[str]
) -> None:
    r"""Moves the tables of a model and its history, or of its optimizer, to files.

    The model first, then the optimizer, which refers to the model's tables. A model
    built on the :obj:`"meta"` device never takes memory:

    .. code-block:: python

        with torch.device("meta"):
            model = LTGNN(num_users, num_items)
            model.history.allocate()  # Which else happens when it is filled.
        memory_map_(model, "run")
        model.reset_parameters()
        optimizer = RowAdam(model.parameters())
        memory_map_(optimizer, "run")

    Args:
        module_or_optimizer (torch.nn.Module or RowAdam): The one to move, in place.
        folder (str): The folder of the files, see :meth:`memory_map`; made if it is not
            there.

    Raises:
        ValueError: If a table is not on the CPU, or the optimizer is another.

    *Cost:* One write of all tables.
    """
    folder = Path(folder)
    if isinstance(module_or_optimizer, Module):
        folder.mkdir(parents=True, exist_ok=True)
        _map_module(module_or_optimizer, folder)
        return
    if not isinstance(module_or_optimizer, RowAdam):
        raise ValueError(
            f"Expected a module or RowAdam (got {type(module_or_optimizer).__name__}); "
            "use 'ltgnn_pyg.inputs.RowAdam', which touches the rows of a batch only"
        )
    folder.mkdir(parents=True, exist_ok=True)
    groups = module_or_optimizer.param_groups
    for i, param in enumerate(p for group in groups for p in group["params"]):
        state = module_or_optimizer.state.get(param)
        if not state:
            state = module_or_optimizer.init_state(param, device="meta")
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = memory_map(state[name], folder / f"optimizer.{i}.{name}")


def _map_module(model: Module, folder: Path) -> None:
    made: dict[Tensor, Tensor] = {}  # Tied tables stay tied.
    for prefix, module in model.named_modules():
        # The tables of a history are neither parameters nor buffers.
        for tables in (module._parameters, module._buffers, vars(module)):
            for name, tensor in tables.items():
                if not isinstance(tensor, Tensor):  # Not there, or not yet filled.
                    continue
                if tensor not in made:
                    if tensor.numel() == 0:
                        mapped = torch.empty_like(tensor, device="cpu")
                    else:
                        path = folder / f"{prefix}.{name}".lstrip(".")
                        mapped = memory_map(tensor, path)
                    if isinstance(tensor, Parameter):
                        mapped = Parameter(mapped, tensor.requires_grad)
                    made[tensor] = mapped
                tables[name] = made[tensor]
