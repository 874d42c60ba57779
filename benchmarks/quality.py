"""How good the lists are: recipes, trained, chosen on validation, tested once.

    python benchmarks/quality.py --dataset gowalla --root data --recipe default \
        --seed 0 --json out.jsonl

--dataset is gowalla, yelp2018, synthetic, a folder in LightGCN's text form, or a file
of interactions. --recipe names the settings below; --set changes single ones, as in
--set alpha=0.2 lr=0.02. With num_hard=[0,0,4] a pair keeps the hardest of its negatives
only, an entry an epoch and the last one for the rest (0: all); with average=0.98 the
table is averaged over updates; with teacher={...} a model of those settings is trained
first, and teaches, as much as teacher_weight says (--set changes the pupil only); with
half_life=0.12 the trained model is scored over a graph whose edges weigh the less the
older they are, where the parts follow each other in time. The protocols:

- refit (the default): the validation part is a tenth of each user's interactions: of a
  published split, or a folder, the last of the training ones, as its lines are in order
  of time and its test part continues them; of a file, where another fifth is the test
  part, both are random, or with --in-order the last by time. Train on the rest, stop
  after --patience evaluations without a better recall there; choose there, of the
  recipe's "filters", the steps of propagation to take after training, if any; then
  train anew on all training interactions for the best number of epochs, and look at
  the test part, once.
- validation: the first half of that; the test part is never read. To tune with.
- holdout: the best epoch of the first half is tested; no refit.
- paper: train on all training interactions for --epochs and test the last epoch, as
  published figures do (whose settings were, nearly all, chosen on the test part).

--curve writes the learning curve as CSV. Each result is a line of JSON.
"""

import argparse
import copy
import csv
import json
import time
from ast import literal_eval
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ltgnn_pyg import (
    LTGNN,
    ItemNegativeSampling,
    LTConv,
    VRNeighborLoader,
    normalized_adj,
)
from ltgnn_pyg.adjacency import propagate
from ltgnn_pyg.datasets import (
    Gowalla,
    LightGCNText,
    Split,
    Yelp2018,
    read_interactions,
    recency_weight,
    split_ratio,
    synthetic_interactions,
)
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.nn import LightGCN, MatrixFactorization, Recommender, loss
from ltgnn_pyg.nn.init import spectral_
from ltgnn_pyg.optim import RowAdam

Settings = dict[str, Any]
DEFAULT: Settings = {
    "model": "LTGNN",
    "loss": "SoftmaxLoss",
    "lr": 0.007,
    "batch_size": 1024,
    "spectral": True,
}
LOCAL = {"gradient": "local", "alpha": 0.2, "lr": 0.001}
MF = {"model": "MatrixFactorization", "lr": 0.001}
FILTERS = [(alpha, K) for alpha in (0.1, 0.2, 0.4, 0.6) for K in (1, 2, 3, 6)]


def distilled(weight: float, dim: int, **settings: Any) -> Settings:
    """Learn from a wider model, trained before."""
    teacher = {**settings, "embedding_dim": dim}
    return {**settings, "teacher_weight": weight, "teacher": teacher}


GOWALLA = distilled(0.7, dim=128, temperature=0.1, average=0.98)
YELP2018 = distilled(0.8, dim=256, temperature=0.12, average=0.98)
RECENT = {"half_life": 0.12}  # Scored by the order of the training pairs, too.
BPR = {"loss": "BPRLoss", "cosine": True, "temperature": 0.5, "hardness": 4.0,
       "popularity": 0.25, "average": 0.98}  # fmt: skip
RECIPES: dict[str, Settings] = {
    "default": {},
    "local": LOCAL,
    "mf": MF,
    "mf-filtered": {**MF, "filters": FILTERS},
    "lightgcn": {"model": "LightGCN", "lr": 0.005, "batch_size": 4096},
    "bpr": BPR,
    "bpr-mf": {**BPR, **MF, "average": 0.0},
    "released": {"model": "LTGNN.released", "loss": "BPRLoss", "spectral": False,
                 "lr": 0.0015, "batch_size": 2048, "user_balanced": True,
                 "negatives": 1, "reject_seen": True, "add_self_loops": True},
    "gowalla": GOWALLA,
    "yelp2018": YELP2018,
    "recent": RECENT,
    "gowalla-recent": {**GOWALLA, **RECENT},
    "yelp2018-recent": {**YELP2018, **RECENT},
    "popularity": {"model": "popularity"},
    "svd": {"model": "svd"},
}  # fmt: skip
PUBLISHED = {"gowalla": Gowalla, "yelp2018": Yelp2018}
BASELINES = ("popularity", "svd")
OF_LOADER = (
    "batch_size",
    "num_neighbors",
    "rounds",
    "user_balanced",
    "add_self_loops",
)
MODELS = {"LTGNN": LTGNN, "MatrixFactorization": MatrixFactorization,
          "LightGCN": LightGCN, "LTGNN.released": LTGNN.released}  # fmt: skip

RECALL = "recall@20"
SOFT = (loss.SoftmaxLoss, loss.BilateralSoftmaxLoss)
STEPWISE = (LTGNN, LTGNN.released)

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset", default="synthetic")
parser.add_argument("--in-order", action="store_true", help="split files by time")
parser.add_argument("--root", default="data", help="where datasets lie or go")
parser.add_argument("--recipe", choices=RECIPES, default="default")
parser.add_argument("--set", nargs="+", default=[], metavar="SETTING=VALUE")
parser.add_argument(
    "--protocol", choices=["refit", "validation", "holdout", "paper"], default="refit"
)
parser.add_argument("--epochs", type=int, default=30, help="at most")
parser.add_argument("--eval-every", type=int, default=1, help="epochs")
parser.add_argument("--patience", type=int, default=3, help="evaluations")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", type=Path)
parser.add_argument("--curve", type=Path)
args = parser.parse_args()
if min(args.epochs, args.eval_every, args.patience) < 1:
    parser.error("expected --epochs, --eval-every and --patience to be at least 1")


def settings_of(recipe: str) -> Settings:
    """The recipe's settings, and those of the command line over them."""
    out = {**DEFAULT, **RECIPES[recipe]}
    for setting in args.set:
        name, _, value = setting.partition("=")
        try:
            out[name] = literal_eval(value)
        except (ValueError, SyntaxError):
            out[name] = value
    return out


def load(val_ratio: float) -> tuple[Any, Split]:
    """The graph of the training interactions, and the parts."""
    cut = {"val_ratio": val_ratio, "seed": None}
    if args.dataset in PUBLISHED:
        return PUBLISHED[args.dataset](args.root).split(**cut)
    if Path(args.dataset).is_dir():
        return LightGCNText(args.dataset).split(**cut)
    if args.dataset == "synthetic":
        interactions = synthetic_interactions(seed=0)
    else:
        interactions = read_interactions(args.dataset)
    seed: int | None = 0  # Of one seed, so that the test part is the same for all.
    if args.in_order:
        if interactions.time is None:
            parser.error("expected interactions with times for --in-order")
        # The pairs of a part are to be in order, too.
        interactions = interactions[interactions.time.argsort(stable=True)]
        seed = None
    return split_ratio(interactions, test_ratio=0.2, val_ratio=val_ratio, seed=seed)


class Run:
    """A model in training on some pairs."""

    def __init__(
        self, settings: Settings, data: Any, train: Tensor, teacher: "Run | None"
    ) -> None:
        settings = copy.deepcopy(settings)
        if teacher is not None:
            data = copy.copy(data)
            data.teacher = teacher.rows()
        torch.manual_seed(args.seed)
        self.train_on = {"num_users": data.num_users, "exclude_edge_index": train}
        self.seconds = 0.0 if teacher is None else teacher.seconds
        self.num_epochs = 0
        start = time.perf_counter()
        lr, spectral = settings.pop("lr"), settings.pop("spectral")
        self.filters, self.filter = settings.pop("filters", []), None
        self.scored_over: tuple[Tensor, ...] = ()  # The graph of training.
        if half_life := settings.pop("half_life", None):
            weight = recency_weight(train[0], half_life=half_life)
            self.scored_over = (data.edge_index, torch.cat([weight, weight]))
        self.decay, self.num_updates = settings.pop("average", 0.0), 0
        of_loader = {k: settings.pop(k) for k in OF_LOADER if k in settings}
        amount = settings.pop("negatives", 0)
        of_negatives = {
            k: settings.pop(k)
            for k in ("reject_seen", "power", "shared")
            if k in settings
        }
        if amount:
            of_loader["neg_sampling"] = ItemNegativeSampling(
                data.num_users,
                data.num_items,
                amount,
                edge_index=train if of_negatives else None,
                **of_negatives,
            )
        objective = getattr(loss, settings.pop("loss"))
        names = objective.__init__.__code__.co_varnames
        loss_fn = objective(**{k: settings.pop(k) for k in [*settings] if k in names})
        self.num_hard = settings.pop("num_hard", [])
        if self.num_hard:
            loss_fn = loss.HardNegatives(loss_fn, 0)
        model = MODELS[settings.pop("model")]
        settings["loss_fn"] = loss_fn
        settings.setdefault("popularity", float(not amount and objective in SOFT))
        settings["add_self_loops"] = of_loader.get("add_self_loops", False)
        self.model: Recommender = model(data.num_users, data.num_items, **settings)
        self.loader = VRNeighborLoader(
            data,
            self.model.history,
            edge_label_index=train,
            generator=torch.Generator().manual_seed(args.seed),
            **{"num_neighbors": 15 if model in STEPWISE else 0, **of_loader},
        )
        table = self.model.embedding
        if spectral:
            spectral_(table.weight, self.loader.adj_t, data.num_users)
        if table.sparse:
            self.optimizer = RowAdam(self.model.parameters(), lr=lr)
        else:
            self.optimizer = torch.optim.Adam(
                self.model.parameters(), lr=lr, fused=True
            )
        self.average = torch.zeros_like(table.weight) if self.decay else None
        self.seconds += time.perf_counter() - start

    def epoch(self, name: str) -> float:
        """Trains for an epoch; returns the mean loss."""
        start, total = time.perf_counter(), 0.0
        if self.num_hard:  # An entry an epoch; the last one for all that follow.
            last = len(self.num_hard) - 1
            self.model.loss_fn.num_hard = self.num_hard[min(self.num_epochs, last)]
        self.num_epochs += 1
        self.model.refresh(self.loader.adj_t)
        for batch in tqdm(self.loader, name, leave=False, disable=None):
            self.optimizer.zero_grad()
            value = self.model.loss(batch)
            value.backward()
            self.optimizer.step()
            self.update_average()
            total += float(value.detach())
        self.seconds += time.perf_counter() - start
        return total / len(self.loader)

    @torch.no_grad()
    def update_average(self) -> None:
        """Adds the table to its running average, whenever it has moved."""
        weight = self.model.embedding.weight
        if self.average is not None and weight.grad is not None:
            self.average.lerp_(weight, 1.0 - self.decay)
            self.num_updates += 1

    def table(self) -> Tensor:
        """The table, or its average over the last updates."""
        if self.average is None:
            return self.model.embedding.weight
        return self.average / (1.0 - self.decay**self.num_updates)

    def state(self) -> Any:
        """What an epoch leaves behind."""
        return copy.deepcopy((self.model.state_dict(), self.average, self.num_updates))

    def load_state(self, state: Any) -> None:
        """Goes back to what an epoch left behind."""
        of_model, self.average, self.num_updates = state
        self.model.load_state_dict(of_model)

    @torch.no_grad()
    def rows(self) -> Tensor:
        """What the objective was trained on, to teach another model."""
        z = self.model.get_embedding(x=self.table())
        return z[:, : self.model.embedding_dim]  # Without popularity.

    @torch.no_grad()
    def evaluate(self, pairs: Tensor) -> dict[str, float]:
        """The metrics of some pairs."""
        x = self.table()
        if self.filter is not None:  # Before it is scored.
            alpha, K = self.filter
            x = LTConv(alpha, K, normalize=False)(x, self.loader.adj_t)
        z = self.model.get_embedding(*self.scored_over, x=x)
        return evaluate(z, pairs, **self.train_on)

    def choose_filter(self, pairs: Tensor) -> dict[str, float]:
        """Takes the steps after training that are best on some pairs."""
        found = {None: self.evaluate(pairs)}
        for each in self.filters:
            self.filter = each
            found[each] = self.evaluate(pairs)
        self.filter = max(found, key=lambda key: found[key][RECALL])
        return found[self.filter]


def baseline(name: str, data: Any, pairs: Tensor, train: Tensor) -> dict[str, float]:
    """A ranking without training: by popularity, or by the singular vectors."""
    adj_t = normalized_adj(data.edge_index, num_nodes=data.num_nodes)
    degree = torch.bincount(train[1], minlength=data.num_nodes).float().view(-1, 1)
    degree[: data.num_users] = 1.0
    z = degree
    if name == "svd":
        torch.manual_seed(args.seed)
        z = spectral_(torch.empty(data.num_nodes, 64), adj_t, data.num_users)
        value = (propagate(adj_t, z) * z).sum(0) / z.square().sum(0)
        z = z * degree.sqrt()
        z[: data.num_users] *= value
    return evaluate(z, pairs, num_users=data.num_users, exclude_edge_index=train)


def choose(
    settings: Settings, data: Any, split: Split, teacher: Run | None
) -> tuple[Run, list[dict[str, Any]], int]:
    """Trains on a part, to find the best epoch on the other."""
    run = Run(settings, data, split.train, teacher)
    curve: list[dict[str, Any]] = []
    best, state = -1, None
    for epoch in range(1, args.epochs + 1):
        mean_loss = run.epoch(f"Epoch {epoch}")
        if epoch % args.eval_every and epoch < args.epochs:
            continue
        row = {"epoch": epoch, "seconds": round(run.seconds, 1), "loss": mean_loss}
        curve.append({**row, **run.evaluate(split.val)})
        print(curve[-1], flush=True)
        if best < 0 or curve[-1][RECALL] > curve[best][RECALL]:
            best = len(curve) - 1
            state = run.state()
        elif len(curve) - 1 - best >= args.patience:
            break
    run.load_state(state)
    return run, curve, best


def train(settings: Settings) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Trains a model, after its teacher if it has one, under the protocol."""
    result: dict[str, Any] = {}
    curve: list[dict[str, Any]] = []
    teacher, chosen = settings.pop("teacher", None), None
    if teacher is not None and settings.get("teacher_weight", 0.0) <= 0.0:
        parser.error("expected a positive teacher_weight beside a teacher")
    each = [settings] if teacher is None else [{**DEFAULT, **teacher}, settings]
    epochs, run = [args.epochs] * len(each), None
    if args.protocol != "paper":
        data, split = load(val_ratio=0.1)
        for number, of_model in enumerate(each):
            run, curve, best = choose(of_model, data, split, run)
            epochs[number] = curve[best]["epoch"]
        result["valid"] = run.choose_filter(split.val)
        result["filter"] = chosen = run.filter
        result["validation_seconds"] = round(run.seconds, 1)
    if args.protocol in ("refit", "paper"):
        data, split = load(val_ratio=0.0)
        run = None
        for num, of_model in zip(epochs, each, strict=True):
            run = Run(of_model, data, split.train, run)
            for epoch in range(1, num + 1):
                run.epoch(f"Refit, epoch {epoch}")
        run.filter = chosen
    if args.protocol != "validation":
        result |= run.evaluate(split.test)
    if teacher is not None:
        result["teacher_epochs"] = epochs[0]
    result |= {"epochs": epochs[-1], "train_seconds": round(run.seconds, 1)}
    return result, curve


def main() -> None:
    """Runs the recipe under the protocol."""
    torch.set_num_threads(args.threads)
    settings = settings_of(args.recipe)
    given = args.dataset in PUBLISHED or Path(args.dataset).is_dir()  # Its parts are.
    if args.in_order and given:
        parser.error("expected a file for --in-order; the others are in order as it is")
    if settings.get("half_life"):
        if not (args.in_order or given):
            parser.error("expected data in order of time for 'half_life': --in-order")
        if settings["model"] in BASELINES:
            parser.error(f"expected a model for 'half_life', got {args.recipe}")
    result: dict[str, Any] = {
        "dataset": args.dataset, "in_order": args.in_order, "recipe": args.recipe,
        "changed": args.set, "protocol": args.protocol, "seed": args.seed,
        "threads": args.threads, "settings": copy.deepcopy(settings),
    }  # fmt: skip
    curve: list[dict[str, Any]] = []
    if settings["model"] in BASELINES:
        start = time.perf_counter()
        data, split = load(val_ratio=0.1)
        result["valid"] = baseline(settings["model"], data, split.val, split.train)
        if args.protocol in ("refit", "paper"):
            data, split = load(val_ratio=0.0)
        if args.protocol != "validation":
            result |= baseline(settings["model"], data, split.test, split.train)
        result |= {"epochs": 0, "train_seconds": round(time.perf_counter() - start, 1)}
    else:
        of_training, curve = train(settings)
        result |= of_training
    print(json.dumps(result, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps({**result, "curve": curve}) + "\n")
    if args.curve is not None and curve:
        with open(args.curve, "w", newline="") as file:
            writer = csv.DictWriter(file, list(curve[0]))
            writer.writeheader()
            writer.writerows(curve)


main()
