"""List the items with the highest scores for users of a run.

    ltgnn recommend run --user 42 -k 10
    ltgnn recommend run --user - --json < users.txt
    ltgnn recommend run --all-users --out lists.parquet

Ids are those of the file the run was trained on; one that starts with '-' is given as
--user=-5. What a user has taken, training and validation interactions, is not listed;
what the test part holds may be.
"""

import argparse

from ltgnn_pyg.cli import machine
from ltgnn_pyg.cli.list_all import SUFFIXES, list_all
from ltgnn_pyg.cli.lists import show_lists
from ltgnn_pyg.cli.output import add_json_flag
from ltgnn_pyg.cli.raw_ids import look_up, read_ids
from ltgnn_pyg.runs import RunFolder
from ltgnn_pyg.scorers import top_k


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    parser.add_argument("folder", metavar="RUN", help="the run folder")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--user", nargs="+", metavar="ID", help="whose lists; '-' reads ids, one a "
        "line, from standard input",
    )  # fmt: skip
    group.add_argument("--all-users", action="store_true", help="everybody's, to --out")
    parser.add_argument(
        "-k", "--k", type=int, default=10, metavar="N", help="how long (default: 10)"
    )
    parser.add_argument(
        "--out", metavar="PATH", help="where all lists go, a row an item, as "
        f"{', '.join(SUFFIXES)}",
    )  # fmt: skip
    add_json_flag(parser)
    machine.add_machine_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Lists."""
    if args.all_users != (args.out is not None) or (args.all_users and args.json):
        raise argparse.ArgumentError(
            None, "Expected --all-users with --out, and without --json (got other)"
        )
    device = machine.set_machine(vars(args))
    folder = RunFolder.open(args.folder)
    if args.all_users:
        list_all(folder, args.k, args.out, device)
        return
    raw = read_ids(args.user)
    way_out = "name one of them, or train a run with interactions of this one"
    user = look_up(folder.user_ids, raw, "user", way_out)
    scorer = folder.scorer_on(device)
    scores, items = top_k(scorer, args.k, user=user, exclude=folder.seen)
    show_lists(raw, "user", scores, items, folder.item_ids, "item", args.json)
