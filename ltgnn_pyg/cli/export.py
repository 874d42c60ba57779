"""Write a run in a form for other programs.

    ltgnn export run --to onnx

Prints the files it has written.
"""

import argparse
from pathlib import Path

from ltgnn_pyg.export import (
    to_huggingface,
    to_int8,
    to_numpy,
    to_onnx,
    to_parquet,
    to_safetensors,
)
from ltgnn_pyg.runs import RunFolder

FORMS = {
    "numpy": to_numpy,
    "parquet": to_parquet,
    "safetensors": to_safetensors,
    "onnx": to_onnx,
    "int8": to_int8,
    "huggingface": to_huggingface,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    parser.add_argument("folder", metavar="RUN", help="the run folder")
    parser.add_argument("--to", choices=FORMS, required=True, help="the form")
    parser.add_argument(
        "--out", metavar="PATH", help="the folder (default: RUN/export/FORM)"
    )


def run(args: argparse.Namespace) -> None:
    """Writes, and prints which files."""
    folder = RunFolder.open(args.folder)
    out = folder.path / "export" / args.to if args.out is None else Path(args.out)
    for path in FORMS[args.to](folder, out):
        print(path)
