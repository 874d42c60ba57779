import os
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from ltgnn_pyg.optim import RowAdam


def memory_map(tensor: Tensor, path: str | os.PathLike[str]) -> Tensor:
    r"""Moves a tensor to a file and returns it mapped into memory.

    The mapped tensor is used like any other. The system keeps in memory the pages
    that are in use and writes the others back, so that tables and graphs may
    exceed it; a step of LTGNN touches the rows of its batch and their neighbours
    only. What is written to the tensor is written to the file.

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
        raise ValueError(f"Expected a tensor on the CPU (got {tensor.device})")
    if tensor.layout == torch.sparse_csr:
        return torch.sparse_csr_tensor(
            memory_map(tensor.crow_indices(), f"{os.fspath(path)}.crow"),
            memory_map(tensor.col_indices(), f"{os.fspath(path)}.col"),
            memory_map(tensor.values(), f"{os.fspath(path)}.value"),
            tensor.size(),
            check_invariants=False,
        )
    if tensor.layout != torch.strided:
        raise ValueError(f"Expected a dense tensor or sparse CSR (got {tensor.layout})")
    size = tensor.numel()
    with open(path, "wb") as file:  # Of its full size from the start, all zeros.
        file.truncate(max(size, 1) * tensor.element_size())
    out = torch.from_file(os.fspath(path), shared=True, size=size, dtype=tensor.dtype)
    out = out.view(tensor.size())
    return out if tensor.is_meta else out.copy_(tensor.detach())


def memory_map_(
    module_or_optimizer: Module | RowAdam, folder: str | os.PathLike[str]
) -> None:
    r"""Moves the tables of a model and its history, or of its optimizer, to files.

    The model first, then the optimizer, which refers to the model's tables. A model
    built on the :obj:`"meta"` device never takes memory:

    .. code-block:: python

        with torch.device("meta"):
            model = LTGNN(num_users, num_items)
        memory_map_(model, "run")
        model.reset_parameters()
        optimizer = RowAdam(model.parameters())
        memory_map_(optimizer, "run")

    Args:
        module_or_optimizer (torch.nn.Module or RowAdam): What to move, in place;
            an optimizer before its first step.
        folder (str): Where the files go; made if it is not there.

    Raises:
        ValueError: If a table is not on the CPU.

    *Cost:* One write of all tables.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(module_or_optimizer, Module):
        for prefix, module in module_or_optimizer.named_modules():
            for name, tensor in module._parameters.items():
                if tensor is not None:
                    mapped = memory_map(tensor, folder / f"{prefix}.{name}".lstrip("."))
                    module._parameters[name] = Parameter(mapped, tensor.requires_grad)
            for name, tensor in module._buffers.items():
                if tensor is not None:
                    mapped = memory_map(tensor, folder / f"{prefix}.{name}".lstrip("."))
                    module._buffers[name] = mapped
        return
    groups = module_or_optimizer.param_groups
    for i, param in enumerate(p for group in groups for p in group["params"]):
        state = module_or_optimizer.init_state(param, device="meta")
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = memory_map(state[name], folder / f"optimizer.{i}.{name}")
