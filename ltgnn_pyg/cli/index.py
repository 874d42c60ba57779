"""Build an index of a run's items, for faster lists of large sets.

    ltgnn index run --kind sq8

It lies in RUN/index, and the server looks into it.
"""

import argparse
import time
from pathlib import Path

import torch

from ltgnn_pyg.cli import machine
from ltgnn_pyg.cli.output import add_json_flag, show
from ltgnn_pyg.retrieval.index import KINDS, Index
from ltgnn_pyg.runs.run_folder import INDEX, RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    parser.add_argument("folder", metavar="RUN", help="the run folder")
    parser.add_argument(
        "--kind", choices=KINDS, help="which one (default: by the number of items)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    add_json_flag(parser)
    machine.add_machine_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Builds and saves."""
    device = machine.set_machine(vars(args))
    torch.manual_seed(args.seed)
    folder = RunFolder.open(args.folder)
    start = time.perf_counter()
    index = Index.build(folder.vectors.to(device), kind=args.kind)
    path = folder.path / INDEX
    index.save(path)
    seconds = time.perf_counter() - start
    result = {
        "kind": index.kind,
        "items": index.num_items,
        "seconds": round(seconds, 3),
        "MB": round(_size(path) / 2**20, 3),
        "path": str(path),
    }
    text = (
        f"{index.kind} of {index.num_items:,} items in {seconds:.1f} s, "
        f"{result['MB']:.1f} MB: {path}"
    )
    show(result, text, args.json)


def _size(path: Path) -> int:
    """The bytes of a file, or of the files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
