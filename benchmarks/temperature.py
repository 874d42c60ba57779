"""The best temperature of softmax, by the density of a set, on its validation part.

    python benchmarks/temperature.py --dataset gowalla --root data --core 20 \
        --temperatures 0.12 0.15 0.18 0.22 0.27 --json out.jsonl

--core keeps the users and items that have so many interactions among themselves: a set
as any other, smaller and denser. A line for each temperature, and the one that
`SoftmaxLoss()` finds by the density, which is tried as well.
"""

import torch
from record import arguments, begin, write
from sets import known, load_split

from ltgnn_pyg import LTGNN, fit
from ltgnn_pyg.datasets import k_core, split_ratio
from ltgnn_pyg.nn import SoftmaxLoss

parser = arguments(__doc__)
parser.add_argument("--core", type=int, default=0, help="interactions each, at least")
parser.add_argument("--temperatures", type=float, nargs="+", default=[0.12, 0.2, 0.3])
args = begin(parser)
split = load_split(args.dataset, args.root, 0.1, args.order)
if args.core > 0:
    split = split_ratio(k_core(known(split), k=args.core), order="random", seed=0)
sizes = split.train.num_users, split.train.num_items
about = {"core": args.core, "embedding_dim": args.embedding_dim,
         "density": len(split.train) / (sizes[0] * sizes[1])}  # fmt: skip
for given in (None, *args.temperatures):
    torch.manual_seed(args.seed)
    model = LTGNN(*sizes, args.embedding_dim, loss_fn=SoftmaxLoss(given))
    report = fit(model, split, refit=False)
    row = {**about, "by_density": given is None, "temperature": model.loss_fn.tau}
    write(args, {**row, "epochs": report.epochs, **report.validation})
