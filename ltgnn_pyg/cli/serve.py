"""Serve a run: lists over HTTP, and a page to try them.

    ltgnn serve run --port 8000

If the environment variable LTGNN_API_KEY is set, requests must carry it.
"""

import argparse
import os


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    parser.add_argument("folder", metavar="RUN", help="the run folder")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="NAME", help="(default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="(default: 8000)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes (default: 1)"
    )


def run(args: argparse.Namespace) -> None:
    """Serves until it is interrupted."""
    from ltgnn_pyg.serving import serve

    serve(
        args.folder,
        host=args.host,
        port=args.port,
        workers=args.workers,
        api_key=os.environ.get("LTGNN_API_KEY") or None,
    )
