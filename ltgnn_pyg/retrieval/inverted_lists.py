from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ltgnn_pyg.retrieval.item_block import ItemBlock

SAMPLE = 64  #: The items a list is trained on.
MULTIPLE = 8  #: Bytes that the kernels of int8 take at once; others take 3.5 x longer.
CHUNK = 2**17  #: Rows in transit.


def import_faiss() -> Any:
    """Faiss, which is optional."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "Expected 'faiss' for an approximate index (got no such package); "
            "pip install \"ltgnn_pyg[retrieval]\", or build one of kind 'exact'"
        ) from error
    return faiss


class InvertedLists:
    r"""Items in lists by where they lie, of which a search looks into a few.

    The bias of an item is one more number of its vector, :math:`\mathbf{x}_i =
    [\mathbf{z}_i, b_i]`, and a query's is :math:`\mathbf{q} = [\mathbf{z}_u, 1]`.
    Lists are the :math:`4 \sqrt{I}` clusters of the :math:`\mathbf{x}_i` by
    *Euclidean* k-means, and a search looks into those whose mean has the largest
    :math:`\mathbf{q}^{\top} \mathbf{c}`: the mean score of a list. Centroids of unit
    length, which faiss makes for inner products, lose the norms and biases that
    decide who is on top.

    Args:
        lists: The :obj:`IndexIVF` of faiss, over rows of the block.
    """

    def __init__(self, lists: Any) -> None:
        self.lists = lists

    @classmethod
    def build(cls, block: ItemBlock, int8: bool) -> "InvertedLists":
        """Sorts the rows of a block into lists.

        Args:
            block (ItemBlock): The items, all of which count.
            int8 (bool): Keeps a byte a number in place of four.

        *Cost:* O(I sqrt(I) D) time, and a copy of the table, or a quarter of one.
        """
        faiss = import_faiss()
        count = max(round(4 * len(block) ** 0.5), 1)
        count = min(count, len(block))
        generator = torch.Generator().manual_seed(0)
        at = torch.arange(len(block))
        if len(block) > SAMPLE * count:
            at = torch.randperm(len(block), generator=generator)[: SAMPLE * count]
        sample = _rows(block.item[at], block.bias[at], int8)
        dim = sample.shape[1]
        means = faiss.Kmeans(
            dim, count, niter=10, seed=0, min_points_per_centroid=1,
            max_points_per_centroid=SAMPLE,
        )  # fmt: skip
        means.train(sample)
        near = faiss.IndexFlatL2(dim)
        near.add(means.centroids)
        coarse = faiss.IndexFlatIP(dim)
        coarse.add(means.centroids)
        product = faiss.METRIC_INNER_PRODUCT
        if int8:
            kind = faiss.ScalarQuantizer.QT_8bit
            lists = faiss.IndexIVFScalarQuantizer(
                coarse, dim, count, kind, product, False
            )
            lists.train(sample)
        else:
            lists = faiss.IndexIVFFlat(coarse, dim, count, product)
            lists.is_trained = True

        total, size = torch.zeros(count, dim), torch.zeros(count)
        for start in range(0, len(block), CHUNK):
            part = slice(start, start + CHUNK)
            rows = _rows(block.item[part], block.bias[part], int8)
            ids = np.arange(start, start + len(rows))
            where = np.ascontiguousarray(near.search(rows, 1)[1][:, 0])
            lists.add_core(len(rows), *map(faiss.swig_ptr, (rows, ids, where)))
            index = torch.from_numpy(where)
            total.index_add_(0, index, torch.from_numpy(rows))
            size += torch.bincount(index, minlength=count)
        full = size > 0
        centers = torch.from_numpy(means.centroids.copy())
        centers[full] = total[full] / size[full].unsqueeze(1)
        coarse.reset()
        coarse.add(centers.numpy())
        return cls(lists)

    @property
    def nbytes(self) -> int:
        """The memory it takes."""
        lists = self.lists
        return lists.ntotal * (lists.code_size + 8) + lists.nlist * lists.d * 4

    @property
    def exact_scores(self) -> bool:
        """If the scores of a search are exact, and not those of int8."""
        return self.lists.code_size == 4 * self.lists.d

    def search(
        self, query: Tensor, m: int, nprobe: int, live: np.ndarray | None
    ) -> tuple[Tensor, Tensor]:
        """Scores and rows of the best items of some lists, by the numbers it keeps.

        Args:
            query (torch.Tensor): :obj:`[Q, D]`.
            m (int): How many items.
            nprobe (int): How many lists.
            live (numpy.ndarray, optional): A bit a row, set if it counts.

        Returns:
            Scores and rows, :obj:`[Q, m]`, filled up with :obj:`-inf` and -1.
        """
        faiss = import_faiss()
        q = _rows(query, query.new_ones(len(query)), not self.exact_scores)
        settings: dict[str, Any] = {"nprobe": nprobe}
        if live is not None:
            settings["sel"] = faiss.IDSelectorBitmap(live)
        params = faiss.SearchParametersIVF(**settings)
        score, row = map(torch.from_numpy, self.lists.search(q, m, params=params))
        return score.masked_fill_(row < 0, -torch.inf), row

    def to_bytes(self) -> Tensor:
        """All of it, to be written."""
        return torch.from_numpy(import_faiss().serialize_index(self.lists))

    @classmethod
    def from_bytes(cls, data: Tensor) -> "InvertedLists":
        """The lists that :meth:`to_bytes` was called on."""
        return cls(import_faiss().deserialize_index(data.numpy()))


def _rows(vector: Tensor, last: Tensor, int8: bool) -> np.ndarray:
    """Vectors with one more number, and zeros to what kernels like."""
    rows = torch.cat([vector, last.unsqueeze(1)], dim=1)
    if int8:
        rows = pad(rows, (0, -rows.size(1) % MULTIPLE))
    return rows.numpy()
