"""Linear-time graph recommenders: from a file of interactions to lists.

    ltgnn train ratings.csv --out run      train, choose the epochs, test once
    ltgnn recommend run --user 42 -k 10    lists
    ltgnn VERB --help                      all flags of a verb

Exits with 0, 1 if it failed, 2 if the command is wrong, 130 if it was interrupted.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from ltgnn_pyg.cli import (
    evaluate,
    export,
    index,
    inspect,
    recommend,
    serve,
    similar,
    train,
    tune,
)
from ltgnn_pyg.version import __version__

VERBS = {
    "train": train,
    "evaluate": evaluate,
    "recommend": recommend,
    "similar": similar,
    "index": index,
    "serve": serve,
    "export": export,
    "tune": tune,
    "inspect": inspect,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv (Sequence[str], optional): Its words. If :obj:`None`, those of the
            process. (default: :obj:`None`)

    Returns:
        The exit code; a wrong command raises :class:`SystemExit` with code 2.
    """
    args = build_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch")
        warnings.showwarning = _show_warning
        try:
            args.call(args)
            sys.stdout.flush()
        except argparse.ArgumentError as error:
            args.parser.error(str(error))
        except BrokenPipeError:  # Who read has had enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except (ValueError, OSError, ImportError) as error:
            print(f"ltgnn: {_line(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("ltgnn: interrupted", file=sys.stderr)
            return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "ltgnn", description=__doc__, formatter_class=kind, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"ltgnn {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, module in VERBS.items():
        text = (module.__doc__ or "").strip()
        verb = verbs.add_parser(
            name,
            help=text.split("\n")[0].rstrip("."),
            description=text,
            formatter_class=kind,
            allow_abbrev=False,
        )
        verb.set_defaults(call=module.run, parser=verb)
        module.add_arguments(verb)
    return parser


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: '{os.fsdecode(error.filename)}'"
    return " ".join(str(error).split()) or type(error).__name__


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"ltgnn: {' '.join(str(message).split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
