import torch
from torch import Tensor

from ltgnn_pyg.scorers.query import Query
from ltgnn_pyg.scorers.scorer import Scorer


class Blend(Scorer):
    r"""Two recommenders as one: the weighted sum of their scores, each in units of its
    standard deviation over all items, for each user

    .. math::
        s_{ui} = (1 - w) \, \frac{a_{ui} - \bar{a}_u}{\sigma(a_u)}
        + w \, \frac{b_{ui} - \bar{b}_u}{\sigma(b_u)}

    a weighted *CombSUM* of `"Combination of Multiple Searches"
    <https://trec.nist.gov/pubs/trec2/papers/txt/23.txt>`_ with the standardised scores
    of `"Relevance Score Normalization for Metasearch"
    <https://doi.org/10.1145/502585.502657>`_. A trained model and a filter of
    :mod:`ltgnn_pyg.scorers.filters` err differently, and on some sets both together
    are better than either: :func:`~ltgnn_pyg.evaluation.choose_blend` finds the weight
    on a validation part.

    .. code-block:: python

        scorer = Blend(report.scorer, EASE(report.interactions), weight=0.2)
        scores, items = top_k(scorer, k=20)

    A user whose scores are all equal in one of them, such as one without a history in
    a filter, is scored by the other alone.

    Args:
        first (Scorer): The scorer of :math:`a_{ui}`.
        second (Scorer): That of :math:`b_{ui}`; another blend, for more than two.
        weight (float): That of the second, :math:`w \in [0, 1]`.

    Raises:
        ValueError: If :obj:`weight` is out of its range, or the two are not of as many
            users and items, or not on one device; when scoring, if a score is not
            finite.

    *Cost:* That of the scores of both, and a few passes over them; a second table of
    the scores of a chunk, a third one where the two are of different types.
    """

    def __init__(self, first: Scorer, second: Scorer, weight: float) -> None:
        if not 0.0 <= weight <= 1.0:
            raise ValueError(f"Expected 'weight' in [0, 1] (got {weight})")
        sizes = [(s.num_users, s.num_items) for s in (first, second)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                "Expected two of as many users and items (got {} and {}, {} and {}); "
                "make both of the same interactions".format(*sizes[0], *sizes[1])
            )
        if first.device != second.device:
            raise ValueError(
                f"Expected both on one device (got {first.device} and "
                f"{second.device}); move one of them"
            )
        self.first, self.second, self.weight = first, second, weight

    @property
    def num_users(self) -> int:
        """The number of users :math:`U`."""
        return self.first.num_users

    @property
    def num_items(self) -> int:
        """The number of items :math:`I`."""
        return self.first.num_items

    @property
    def device(self) -> torch.device:
        """The device of the scores."""
        return self.first.device

    @property
    def dtype(self) -> torch.dtype:
        """The wider type of the two."""
        return torch.promote_types(self.first.dtype, self.second.dtype)

    @torch.no_grad()
    def score(self, query: Query, out: Tensor | None = None) -> Tensor:
        """Scores all items for some queries, see
        :meth:`Scorer.score <ltgnn_pyg.scorers.Scorer.score>`.
        """
        if out is None:
            size = len(query), self.num_items
            out = torch.empty(size, dtype=self.dtype, device=self.device)
        room = out if self.first.dtype == out.dtype else None
        standardize_(out.copy_(self.first.score(query, out=room)))
        other = standardize_(self.second.score(query).to(out.dtype))
        return out.lerp_(other, self.weight)


def standardize_(score: Tensor) -> Tensor:
    """Takes the mean of each row off it, and divides by its standard deviation; rows
    of one value become zeros. In place.
    """
    score -= score[:, :1].clone()  # So that nothing is left of one value, to the bit.
    score -= score.mean(1, keepdim=True)
    deviation = torch.linalg.vector_norm(score, dim=1, keepdim=True)
    deviation /= score.size(1) ** 0.5
    if not bool(deviation.isfinite().all()):
        raise ValueError(
            "Expected finite scores of both (got inf, NaN or too large ones); leave "
            "items out by 'exclude', or scale the scores down"
        )
    return score.div_(deviation.clamp_(min=torch.finfo(score.dtype).tiny))
