"""List the items, or users, whose vectors are nearest by cosine.

    ltgnn similar run --item 17 -k 10

Ids are those of the file the run was trained on.
"""

import argparse

from ltgnn_pyg.cli import machine
from ltgnn_pyg.cli.lists import show_lists
from ltgnn_pyg.cli.output import add_json_flag
from ltgnn_pyg.cli.raw_ids import look_up, read_ids
from ltgnn_pyg.retrieval import similar_items, similar_users
from ltgnn_pyg.runs import RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    parser.add_argument("folder", metavar="RUN", help="the run folder")
    group = parser.add_mutually_exclusive_group(required=True)
    for what in ("item", "user"):
        group.add_argument(
            f"--{what}", nargs="+", metavar="ID", help=f"{what}s to look from; '-' "
            "reads ids, one a line, from standard input",
        )  # fmt: skip
    parser.add_argument(
        "-k", "--k", type=int, default=10, metavar="N", help="how many (default: 10)"
    )
    add_json_flag(parser)
    machine.add_machine_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Lists."""
    device = machine.set_machine(vars(args))
    folder = RunFolder.open(args.folder)
    what = "user" if args.user else "item"
    raw = read_ids(args.user or args.item)
    ids = folder.user_ids if args.user else folder.item_ids
    way_out = f"name one of them, or train a run with interactions of this {what}"
    index, vectors = look_up(ids, raw, what, way_out), folder.vectors.to(device)
    if args.user:
        scores, found = similar_users(vectors, args.k, user=index)
    else:
        scores, found = similar_items(vectors, args.k, item=index)
    show_lists(raw, what, scores, found, ids, what, args.json)
