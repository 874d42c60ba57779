import math
from collections.abc import Iterable, Sequence
from itertools import product
from operator import index as as_int

from torch import Tensor

from ltgnn_pyg.datasets import Interactions
from ltgnn_pyg.evaluation.evaluate import evaluate
from ltgnn_pyg.scorers import Blend, Scorer

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


def choose_blend(
    first: Scorer,
    others: Iterable[Scorer],
    held_out: Interactions,
    *,
    exclude: Interactions | None = None,
    k: int = 20,
    metric: str = "recall",
    weights: Sequence[float] = WEIGHTS,
    user: Tensor | None = None,
    chunk_bytes: int = 2**28,
) -> Blend:
    r"""Finds which recommender to put beside another, and with what weight: the
    :class:`~ltgnn_pyg.scorers.Blend` that ranks a validation part best, with the
    lower weight among equals.

    .. code-block:: python

        alone = fit(model, split, refit=False)  # Knows the training part only.
        found = choose_blend(alone.scorer, [EASE(split.train)], split.val,
                             exclude=split.train)

        # A new model, for as many epochs, on both parts:
        both = Split(split.known, split.val[:0], split.test, split.order)
        report = fit(make_model(), both, max_epochs=alone.epochs)
        scorer = Blend(report.scorer, EASE(split.known), found.weight)

    Args:
        first (Scorer): The one to blend, *e.g.*, the vectors of a trained model.
        others (Iterable[Scorer]): Those to put beside it, tried in turn; none of them
            may know the pairs of validation.
        held_out (Interactions): The pairs of validation, see :func:`evaluate`.
        exclude (Interactions, optional): The pairs that are not ranked, likewise.
            (default: :obj:`None`)
        k (int, optional): The length of the lists. (default: :obj:`20`)
        metric (str, optional): The metric that decides, see :func:`evaluate`.
            (default: :obj:`"recall"`)
        weights (Sequence[float], optional): The weights to try; 0 is :obj:`first`
            alone. (default:
            :obj:`(0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)`)
        user (torch.Tensor, optional): The users to evaluate, *e.g.*, a sample. If
            :obj:`None`, all. (default: :obj:`None`)
        chunk_bytes (int, optional): See :func:`evaluate`. (default: :obj:`2**28`)

    Returns:
        The blend; its :obj:`second` is the one of the others, as it was given.

    Raises:
        ValueError: If there is no other or no weight to try, and as by
            :class:`~ltgnn_pyg.scorers.Blend` and :func:`evaluate`.

    *Cost:* An evaluation for each other and weight, which scores both: pass a sample
    of users where a filter's scores cost much.
    """
    k, best, found = as_int(k), -math.inf, None
    for weight, other in product(sorted(weights), others):
        if found is not None and weight == 0.0:
            continue  # The first alone, whatever is beside it.
        blend = Blend(first, other, weight)
        figures = evaluate(
            blend,
            held_out,
            exclude=exclude,
            k=k,
            metrics=[metric],
            user=user,
            chunk_bytes=chunk_bytes,
        )
        if figures[f"{metric}@{k}"] > best:
            best, found = figures[f"{metric}@{k}"], blend
    if found is None:
        raise ValueError("Expected something to blend and 'weights' (got none)")
    return found
