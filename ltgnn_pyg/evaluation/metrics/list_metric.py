from torch_geometric.metrics.link_pred import LinkPredMetric, LinkPredMetricData


class ListMetric(LinkPredMetric):
    r"""Abstract: a number for each list, averaged over lists, held-out items or none.

    As all metrics here, it goes into a
    :class:`~torch_geometric.metrics.LinkPredMetricCollection`. Items are
    :math:`0, \ldots, I - 1`, and a short list is filled up with the item :math:`I`:
    :obj:`-1`, as of :func:`~ltgnn_pyg.scorers.top_k`, would name the last item.

    Args:
        k (int): The length of the lists.
    """

    weighted = False

    def _update(self, data: LinkPredMetricData) -> None:
        self.accum += self._compute(data).sum()
        self.total += data.pred_index_mat.size(0)
