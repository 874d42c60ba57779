import time
from collections.abc import Callable

from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.graph import Graph
from ltgnn_pyg.scorers import Scorer
from ltgnn_pyg.train.report import Report


def fit_filter(
    make: Callable[[Interactions], Scorer],
    split: Split,
    *,
    metric: str = "recall@20",
) -> Report:
    """Makes a scorer that needs no training by the protocol of :func:`fit`: of the
    training part, to be validated, then of training and validation interactions
    together.

    .. code-block:: python

        report = fit_filter(EASE, split)
        evaluate(report.scorer, split.test, exclude=report.interactions)

    Args:
        make (callable): Makes the scorer of interactions, such as a class of
            :mod:`ltgnn_pyg.scorers.filters`.
        split (Split): The parts; the test part is not looked at.
        metric (str, optional): The metric beside recall and NDCG, see
            :func:`fit`. (default: :obj:`"recall@20"`)

    *Cost:* Twice that of the scorer, and a full ranking of the validation part.
    """
    start, found = time.perf_counter(), {}
    if len(split.val) > 0:
        name, _, k = metric.partition("@")
        names = sorted({"recall", "ndcg", name})
        scorer = make(split.train)
        found = evaluate(
            scorer, split.val, exclude=split.train_seen, k=int(k), metrics=names
        )
        del scorer  # There are tables to hold.
    begun = time.perf_counter()
    scorer = make(split.known)
    now = time.perf_counter()
    return Report(
        epochs=0,
        reason="as it needs no training",
        order=split.order,
        validation=found,
        curve=[],
        train_seconds=now - begun,
        seconds=now - start,
        interactions=split.known,
        graph=Graph.from_interactions(split.known),
        scorer=scorer,
        settings={"metric": metric, "refit": True, "order": split.order},
    )
