from collections.abc import Callable

from ltgnn_pyg.retrieval.rerank.candidates import Candidates


class Pipeline(list[Callable[[Candidates], Candidates]]):
    r"""A list of steps, each a callable :obj:`candidates -> candidates`, taken in turn.

    .. code-block:: python

        rerank = Pipeline([
            partial(keep, mask=in_stock),
            partial(boost, bonus=0.1 * is_new),
            partial(mmr, item_vector=vectors.item, k=20, lam=0.7),
        ])
        candidates = Candidates(user, *top_k(vectors, k=200, user=user, exclude=known))
        user, scores, items = rerank(candidates)

    What is known at the time of a request, such as the hour or the clicks of a session,
    goes into a step of that request: :obj:`Pipeline([partial(near, clicks=clicks),
    *rerank])`. A pipeline is a step itself. Steps that choose a list
    (:func:`~ltgnn_pyg.retrieval.rerank.mmr`) go after those that change scores.
    """

    def __call__(self, candidates: Candidates) -> Candidates:
        """Passes candidates through the steps."""
        for step in self:
            candidates = step(candidates)
        return candidates
