"""The flags that say where a verb computes: they change no result but by rounding."""

import argparse
from collections.abc import Mapping
from typing import Any

import torch

NAMES = ("threads", "device")


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """Adds :obj:`--threads` and :obj:`--device`."""
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--threads", type=int, metavar="N", default=argparse.SUPPRESS,
        help="of the processor (default: all)",
    )  # fmt: skip
    group.add_argument(
        "--device", metavar="NAME", default=argparse.SUPPRESS,
        help="cpu, cuda or cuda:N (default: cpu)",
    )  # fmt: skip


def set_machine(flags: Mapping[str, Any]) -> torch.device:
    """Sets the number of threads, and returns the device.

    Raises:
        ValueError: If there are no such threads or there is no such device.
    """
    threads, name = flags.get("threads"), flags.get("device", "cpu")
    if threads is not None:
        if threads < 1:
            raise ValueError(f"Expected a positive --threads (got {threads})")
        torch.set_num_threads(threads)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # The latter of a build for CPUs.
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"Expected a --device of this machine (got {name!r}: {reason}); leave it "
            "out for the processor"
        ) from error
    return device
