"""Processes that are started together, and what they say when one is gone."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

TIMEOUT = timedelta(minutes=10)


def init_process_group(timeout: timedelta = TIMEOUT) -> torch.device:
    """Joins the processes that :obj:`torchrun` has started.

    .. code-block:: python

        device = init_process_group()
        model = LTGNN(num_users, num_items).to(device)
        report = fit(model, split)

    Args:
        timeout (datetime.timedelta, optional): How long a process waits for another
            one before it gives up. (default: ten minutes)

    Returns:
        The device of this process: GPU number :obj:`LOCAL_RANK` (backend
        :obj:`"nccl"`) where there are GPUs, the CPU (:obj:`"gloo"`) elsewhere.

    Raises:
        RuntimeError: If the process was not started by :obj:`torchrun`.
    """
    if "LOCAL_RANK" not in os.environ:
        raise RuntimeError(
            "Expected a process of torchrun (got no LOCAL_RANK in the environment); "
            "start the script with 'torchrun --nproc-per-node 2 SCRIPT'"
        )
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", timeout=timeout)
        return device
    if os.environ["LOCAL_WORLD_SIZE"] == os.environ["WORLD_SIZE"]:
        use_loopback()
    dist.init_process_group("gloo", timeout=timeout)
    return torch.device("cpu")


def use_loopback() -> None:
    """Makes gloo meet over the loopback, not over what the name of this machine
    resolves to; for processes of one machine, unless told otherwise.
    """
    names = {name for _, name in socket.if_nameindex()}
    for name in ("lo", "lo0"):
        if name in names:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def is_distributed() -> bool:
    """True if this process is one of a group."""
    return dist.is_available() and dist.is_initialized()


def is_first() -> bool:
    """True if this process is alone, or the first of its group, which speaks for it."""
    return not is_distributed() or dist.get_rank() == 0


@contextmanager
def answered() -> Iterator[None]:
    """Says in plain words that another process has not answered.

    Raises:
        ConnectionError: In place of what the backend raises.
    """
    try:
        yield
    except RuntimeError as error:
        raise ConnectionError(
            f"Expected an answer of all {dist.get_world_size()} processes (got: "
            f"{error}); one has ended or hangs, see its own error, then start all "
            "again with 'resume=True'"
        ) from error
