"""The output of verbs: text or JSON to read, and notes beside it."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Adds :obj:`--json`."""
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="PATH", help="write JSON to a file, or "
        "with '-' or nothing to standard output, which then holds nothing else",
    )  # fmt: skip


def show(result: Any, text: str, path: str | None) -> None:
    """Prints a result as text, or writes it as JSON, or both.

    Args:
        result (Any): The result; its numbers are finite.
        text (str): The same to read.
        path (str, optional): Where JSON goes, :obj:`"-"` for standard output, where
            it takes the place of the text. If :obj:`None`, nowhere.

    Raises:
        ValueError: If a number is NaN or inf, which JSON has not.
    """
    if path is not None:
        dumped = json.dumps(result, indent=1, allow_nan=False)
        if path == "-":
            print(dumped)
            return
        Path(path).write_text(dumped + "\n")
    print(text)


def note(text: str) -> None:
    """Says something beside the result, on standard error."""
    print(f"ltgnn: {text}", file=sys.stderr)


def progress(text: str) -> None:
    """Says how far a verb has come, where there is a terminal."""
    if sys.stderr.isatty():
        tqdm.write(text, file=sys.stderr)


def figures(row: dict[str, float]) -> str:
    """Metrics in a line."""
    return "  ".join(f"{name} {value:.4f}" for name, value in row.items())
