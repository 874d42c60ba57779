from torch import Tensor

from ltgnn_pyg.batch.pair_batch import PairBatch, Trainable


class MicroBatch(PairBatch):
    """A part of a round, as an objective sees it; all of its nodes are seeds."""

    def rows(self, model: Trainable) -> Tensor:
        """Refuses: the round has the graph.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "Expected a batch with the graph of its round (got a micro-batch of one); "
            "train on the batches of a 'PairLoader'"
        )
