import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.distributed import is_distributed
from ltgnn_pyg.evaluation import choose_blend, evaluate
from ltgnn_pyg.graph.kernels import kernels
from ltgnn_pyg.nn.models import Recommender
from ltgnn_pyg.scorers import Blend, Scorer
from ltgnn_pyg.train.fit import fit
from ltgnn_pyg.train.report import Report


def fit_beside(
    make_model: Callable[[], Recommender],
    make_other: Callable[[Interactions], Scorer],
    split: Split,
    *,
    metric: str = "recall@20",
    refit: bool = True,
    eval_users: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    **kwargs: Any,
) -> tuple[Recommender, Report]:
    """Trains a model and puts a scorer that needs no training beside it,
    :class:`~ltgnn_pyg.scorers.Blend`, with the weight that ranks the validation part
    best; then trains anew, for as many epochs, and makes both of training and
    validation interactions together.

    .. code-block:: python

        model, report = fit_beside(make_model, EASE, split)
        evaluate(report.scorer, split.test, exclude=report.interactions)

    Args:
        make_model (callable): Makes the model, alike each time.
        make_other (callable): Makes the other scorer of interactions, such as a class
            of :mod:`ltgnn_pyg.scorers.filters`.
        split (Split): The parts, with a validation part; the test part is not looked
            at.
        metric (str, optional): The metric that decides, see :func:`fit`.
            (default: :obj:`"recall@20"`)
        refit (bool, optional): Makes both anew of both parts; otherwise the model of
            the best epoch is kept, and the other scorer of the training part.
            (default: :obj:`True`)
        eval_users (int, optional): Validates on a sample of so many users. If
            :obj:`None`, on all. (default: :obj:`None`)
        folder (str, optional): The folder of both trainings, in folders of their own,
            see :func:`fit`. If :obj:`None`, nowhere. (default: :obj:`None`)
        resume (bool, optional): Goes on from what is there. (default: :obj:`False`)
        **kwargs (optional): Further arguments of :func:`fit`.

    Returns:
        The model, and the report, whose scorer is the blend.

    Raises:
        ValueError: If there is no validation part, or there are several processes, and
            as by :func:`fit`.

    *Cost:* That of :func:`fit`, twice that of the other scorer, and a ranking of
    the validation part for each weight.
    """
    if is_distributed():
        raise ValueError(
            "Expected one process (got several, of which each would hold all of the "
            "other scorer); train the model alone, by 'fit'"
        )
    if len(split.val) == 0:
        raise ValueError(
            "Expected a validation part, on which the weight is found (got none); "
            "split with a larger 'val_ratio'"
        )
    kept: dict[str, Any] = {"resume": resume, "metric": metric} | kwargs
    folders = [None if folder is None else Path(folder, name) for name in STAGES]
    model = make_model()
    alone = fit(
        model,
        split,
        refit=False,
        eval_users=eval_users,
        folder=folders[0],
        **kept,
    )
    assert isinstance(alone.scorer, Scorer)
    name, _, k = metric.partition("@")
    parts: dict[str, Any] = {"exclude": split.train_seen, "k": int(k)}
    with kernels.run(alone.kernels):
        device = alone.scorer.device
        other = make_other(split.train.to(device))
        blend = choose_blend(alone.scorer, [other], split.val, metric=name, **parts)
        names = sorted({"recall", "ndcg", name})
        validation = evaluate(blend, split.val, metrics=names, **parts)
        weight = blend.weight
        report = alone
        if refit:
            del model, alone.scorer, other, blend  # There are tables to hold.
            both = replace(split, train=split.known, val=split.val[:0])
            kept |= {"max_epochs": alone.epochs, "max_seconds": None}
            model = make_model()
            report = fit(model, both, folder=folders[1], **kept)
            assert isinstance(report.scorer, Scorer)
            blend = Blend(report.scorer, make_other(split.known.to(device)), weight)
            again = [{**row, "phase": 1} for row in report.curve]
            report.curve = [*alone.curve, *again]
            report.seconds += alone.seconds
    return model, replace(
        report,
        scorer=blend,
        reason=f"{alone.reason}; beside it a weight of {weight:g}, found there too",
        validation=validation,
        settings={**alone.settings, "refit": refit, "beside_weight": weight},
    )


STAGES = ("alone", "known")  #: The folders of both trainings.
