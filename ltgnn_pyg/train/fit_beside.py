import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ltgnn_pyg.datasets import Interactions, Split
from ltgnn_pyg.evaluation import choose_blend, evaluate
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
        eval_users (int, optional): Validates on a sample of so many users. If
            :obj:`None`, on all. (default: :obj:`None`)
        folder (str, optional): The folder of both trainings, in folders of their own,
            see :func:`fit`. If :obj:`None`, nowhere. (default: :obj:`None`)
        resume (bool, optional): Goes on from what is there. (default: :obj:`False`)
        **kwargs (optional): Further arguments of :func:`fit`.

    Returns:
        The model, and the report, whose scorer is the blend.

    Raises:
        ValueError: If there is no validation part, and as by :func:`fit`.

    *Cost:* That of :func:`fit`, twice that of the other scorer, and eight rankings of
    the validation part.
    """
    if len(split.val) == 0:
        raise ValueError(
            "Expected a validation part, on which the weight is found (got none); "
            "split with a larger 'val_ratio'"
        )
    kept: dict[str, Any] = {"resume": resume, "metric": metric} | kwargs
    folders = [None if folder is None else Path(folder, name) for name in STAGES]
    alone = fit(
        make_model(),
        split,
        refit=False,
        eval_users=eval_users,
        folder=folders[0],
        **kept,
    )
    assert isinstance(alone.scorer, Scorer)
    name, _, k = metric.partition("@")
    parts: dict[str, Any] = {
        "held_out": split.val,
        "exclude": split.train_seen,
        "k": int(k),
    }
    other = make_other(split.train)
    blend = choose_blend(alone.scorer, [other], metric=name, **parts)
    names = sorted({"recall", "ndcg", name})
    validation = evaluate(blend, metrics=names, **parts)
    weight = blend.weight
    del alone.scorer, other, blend  # There are tables to hold.
    both = replace(split, train=split.known, val=split.val[:0])
    model = make_model()
    kept |= {"max_epochs": alone.epochs, "max_seconds": None}
    report = fit(model, both, folder=folders[1], **kept)
    assert isinstance(report.scorer, Scorer)
    return model, replace(
        report,
        scorer=Blend(report.scorer, make_other(split.known), weight),
        reason=f"{alone.reason}; beside it a weight of {weight:g}, found there too",
        validation=validation,
        curve=[*alone.curve, *report.curve],
        seconds=alone.seconds + report.seconds,
        settings={**report.settings, "beside_weight": weight},
    )


STAGES = ("alone", "known")  #: The folders of both trainings.
