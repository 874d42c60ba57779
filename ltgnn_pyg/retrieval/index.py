import json
import os
import zlib
from operator import index as as_int
from pathlib import Path
from threading import RLock

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ltgnn_pyg.retrieval.index_state import NPROBE, IndexState
from ltgnn_pyg.retrieval.inverted_lists import InvertedLists
from ltgnn_pyg.retrieval.item_block import ItemBlock, Pairs
from ltgnn_pyg.scorers.vectors import Vectors

KINDS = ("exact", "ivf", "sq8")
EXACT_ITEMS = 300_000  #: Up to which exact search is the default.
CHANGED = 0.02  #: The share of items that may have changed before a new build.
FORMAT = "ltgnn_pyg.Index 1"


class Index:
    r"""The items with the largest scores for vectors of users, among many items, which
    may be added, changed and removed

    .. math::
        \underset{i \notin \mathcal{E}}{\mathrm{arg\,top}k} \;
        \mathbf{z}_u^{\top} \mathbf{z}_i + b_i

    .. code-block:: python

        index = Index.build(vectors)
        scores, items = index.search(vectors.user[:2], k=10)
        seen = rowptr[:3], col[: rowptr[2]]  # Of those two, never to come back.
        scores, items = index.search(vectors.user[:2], k=10, exclude=seen)
        (new,) = index.add(vector.view(1, -1)).tolist()
        index.save("items.index")

    ================ ================================================================
    :obj:`"exact"`   all items are scored, as by :func:`~ltgnn_pyg.scorers.top_k`
    :obj:`"ivf"`     some of :math:`4 \sqrt{I}` lists of items are scored
                     (:class:`~ltgnn_pyg.retrieval.inverted_lists.InvertedLists`)
    :obj:`"sq8"`     the same by a byte a number, then the best by exact scores: a
                     third of the memory beside the table, a little slower
    ================ ================================================================

    Scores are exact in :obj:`float32`, whatever the kind. What is asked of an
    approximate kind in such depth that lists no longer pay, *e.g.*, for a user who has
    seen thousands of items, is searched exactly, and so is a query whose lists hold
    too few items.

    Added and changed items are scored one by one beside the lists. When they are more
    than 2 % of all, the call that changes them sorts all items into lists anew.
    Searches from other threads go on meanwhile, on what was there before.
    How much an approximate kind finds depends on the vectors: much where close items
    have norms and biases alike, as trained ones have, little where norms say nothing
    about directions. Measure it (``benchmarks/retrieval.py``), and raise
    :obj:`nprobe` or take :obj:`"exact"`.

    Made by :meth:`build` or :meth:`load`.
    """

    def __init__(self, kind: str, state: IndexState) -> None:
        self.kind = kind
        self._state = state
        self._lock = RLock()  # Of those who change it.

    @classmethod
    def build(cls, vectors: Vectors, kind: str | None = None) -> "Index":
        """Builds an index of the items of vectors, whose ids are their rows.

        Args:
            vectors (Vectors): The items and their biases; users have no part.
                The table is not copied if it is of :obj:`float32`: leave it alone.
            kind (str, optional): One of the above. If :obj:`None`, :obj:`"exact"` up
                to 300,000 items, :obj:`"ivf"` beyond. (default: :obj:`None`)

        Raises:
            ValueError: If there is no such kind.
            ImportError: If an approximate kind is asked for without faiss.

        *Cost:* O(I) for :obj:`"exact"`, else :math:`O(I^{1.5} D)`.
        """
        if kind is None:
            kind = "exact" if vectors.num_items <= EXACT_ITEMS else "ivf"
        if kind not in KINDS:
            raise ValueError(f"Expected 'kind' of {', '.join(KINDS)} (got {kind!r})")
        item = vectors.item.detach().float()
        bias = vectors.item_bias
        bias = item.new_zeros(len(item)) if bias is None else bias.detach().float()
        if kind != "exact":
            item, bias = item.cpu(), bias.cpu()
        ids = torch.arange(len(item), device=item.device)
        main = ItemBlock(ids, item, bias)
        index = cls(kind, IndexState(main, None, main.empty(), len(item)))
        index._rebuild(main)
        return index

    @property
    def num_items(self) -> int:
        """The number of items that may be found."""
        state = self._state
        return int(state.main.live.sum()) + len(state.delta)

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self._state.main.item.size(1)

    @property
    def nbytes(self) -> int:
        """The memory it takes, the table of items included."""
        state = self._state
        lists = 0 if state.lists is None else state.lists.nbytes
        return state.main.nbytes + state.delta.nbytes + lists

    @torch.no_grad()
    def search(
        self,
        query: Tensor,
        k: int,
        exclude: Pairs | None = None,
        *,
        nprobe: int = NPROBE,
    ) -> tuple[Tensor, Tensor]:
        r"""The best items for each query.

        Args:
            query (torch.Tensor): Vectors of users.
            k (int): The number of items to return for each.
            exclude (tuple, optional): What is never returned, :obj:`(rowptr, col)`
                over the queries and the ids of items. (default: :obj:`None`)
            nprobe (int, optional): The lists an approximate kind looks into: more of
                them find more of the best items, and take longer; deeper searches
                take more of themselves. (default: :obj:`64`)

        Shapes:
            - **input:** :obj:`query` :math:`(Q, D)`, :obj:`exclude` :math:`(Q + 1),
              (E)`
            - **output:** scores and ids of items :math:`(Q, k)`, in descending order
              of score, filled up with :obj:`-inf` and -1

        Raises:
            ValueError: If shapes, types or ranges of the arguments do not fit.

        *Cost:* :math:`O(Q \sqrt{I} D)` for :obj:`nprobe` lists of
        :math:`\sqrt{I} / 4` items and the mean of each; :obj:`"exact"`
        :math:`O(Q I D)`.
        """
        k, nprobe = as_int(k), as_int(nprobe)
        if k < 1 or nprobe < 1:
            raise ValueError(
                f"Expected 'k' >= 1 and 'nprobe' >= 1 (got {k} and {nprobe}); raise "
                "them"
            )
        state, device = self._state, query.device
        self._check("query", query)
        query = query.to(state.main.item)
        if exclude is not None:
            exclude = _check_pairs(exclude, len(query), state)
        score, item = state.search(query, k, exclude, nprobe)
        return score.to(device), item.to(device)

    def add(self, item_vectors: Tensor, item_bias: Tensor | None = None) -> Tensor:
        """Adds items.

        Args:
            item_vectors (torch.Tensor): Their vectors, :obj:`[n, D]`.
            item_bias (torch.Tensor, optional): Their biases, :obj:`[n]`. If
                :obj:`None`, zeros. (default: :obj:`None`)

        Returns:
            Their ids :obj:`[n]`, which were never in use before.

        Raises:
            ValueError: If shapes do not fit or a number is NaN or inf.

        *Cost:* O(changed items), and now and then a new build.
        """
        with self._lock:
            start = self._state.next_id
            ids = torch.arange(
                start, start + len(item_vectors), device=item_vectors.device
            )
            self._put(ids, item_vectors, item_bias)
            return ids

    def update(
        self, items: Tensor, item_vectors: Tensor, item_bias: Tensor | None = None
    ) -> None:
        """Changes the vectors and biases of items.

        Args:
            items (torch.Tensor): Their ids :obj:`[n]`, each once.
            item_vectors (torch.Tensor): Their vectors, :obj:`[n, D]`.
            item_bias (torch.Tensor, optional): Their biases, :obj:`[n]`. If
                :obj:`None`, zeros. (default: :obj:`None`)

        Raises:
            ValueError: If an item is not there, shapes do not fit, or a number is NaN
                or inf.

        *Cost:* O(changed items), one pass over the biases, and now and then a new
        build.
        """
        with self._lock:
            self._put(self._known(items), item_vectors, item_bias)

    def remove(self, items: Tensor) -> None:
        """Removes items; their ids stay unused.

        Args:
            items (torch.Tensor): Their ids :obj:`[n]`, each once.

        Raises:
            ValueError: If an item is not there.

        *Cost:* That of :meth:`update`.
        """
        with self._lock:
            ids = self._known(items)
            none = self._state.main.item.new_empty(0, self.dim)
            self._change(ids, ItemBlock(ids[:0], none, none[:, :0].sum(1)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one file in the form of safetensors, all or nothing.

        Args:
            path (str): The file.

        *Cost:* One write, and a copy of the lists.
        """
        state = self._state
        tensors = {}
        for name, block in (("main", state.main), ("delta", state.delta)):
            for key in ("ids", "item", "bias"):
                tensors[f"{name}.{key}"] = getattr(block, key).cpu().contiguous()
        if state.lists is not None:
            tensors["lists"] = state.lists.to_bytes()
        about = {"format": FORMAT, "kind": self.kind, "next_id": str(state.next_id)}
        about["sums"] = _sums(about, tensors)
        beside = Path(path).with_name(Path(path).name + ".tmp")
        save_file(tensors, beside, metadata=about)
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Index":
        """Reads what :meth:`save` wrote.

        Args:
            path (str): The file.

        Raises:
            ValueError: If the file is damaged, or something else.
            ImportError: If it is of an approximate kind, without faiss.

        *Cost:* One read.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise ValueError(
                f"Expected an index in '{path}' (got a damaged or foreign file: "
                f"{error}); save it anew"
            ) from error
        if about.get("format") != FORMAT:
            raise ValueError(
                f"Expected '{FORMAT}' in '{path}' (got {about.get('format')!r}); pass "
                "a file of 'Index.save'"
            )
        if about.pop("sums", "none") != _sums(about, tensors):
            raise ValueError(
                f"Expected the checksums of '{path}' (got others: it is damaged); save "
                "it anew"
            )
        main, delta = (
            ItemBlock(*(tensors[f"{name}.{key}"] for key in ("ids", "item", "bias")))
            for name in ("main", "delta")
        )
        lists = tensors.get("lists")
        lists = None if lists is None else InvertedLists.from_bytes(lists)
        return cls(about["kind"], IndexState(main, lists, delta, int(about["next_id"])))

    def _check(self, name: str, rows: Tensor) -> None:
        if rows.dim() != 2 or rows.size(1) != self.dim:
            raise ValueError(
                f"Expected '{name}' [n, {self.dim}] (got {list(rows.size())}); pass "
                "rows of the index's length"
            )
        if not rows.isfinite().all():
            raise ValueError(
                f"Expected finite '{name}' (got NaN or inf); look for where training "
                "diverged"
            )

    def _known(self, items: Tensor) -> Tensor:
        """Ids that are there, each once."""
        state = self._state
        if items.dim() != 1 or items.dtype != torch.long:
            raise ValueError(
                f"Expected 'items' [n] of type int64 (got {list(items.size())} of "
                f"{items.dtype}); flatten and convert them"
            )
        items = items.to(state.main.ids.device)
        row, here = state.main.find(items)
        if len(state.main):
            here &= state.main.live[row]
        here |= state.delta.find(items)[1]
        if not here.all():
            raise ValueError(
                f"Expected items of the index (got {items[~here][:5].tolist()}, which "
                "are not there); 'add' returns ids"
            )
        if len(items.unique()) < len(items):
            raise ValueError("Expected each item once (got some twice); drop repeats")
        return items

    def _put(self, ids: Tensor, item: Tensor, bias: Tensor | None) -> None:
        self._check("item_vectors", item)
        bias = item.new_zeros(len(item)) if bias is None else bias
        if not len(ids) == len(item) == bias.numel() or bias.dim() != 1:
            raise ValueError(
                f"Expected {len(ids)} rows and biases (got {len(item)} and "
                f"{list(bias.size())}); pass one of each for each item"
            )
        self._check("item_bias", bias.view(-1, 1).expand(-1, self.dim))
        like = self._state.main.item
        ids, perm = ids.to(like.device).sort()
        item, bias = (x.detach().to(like)[perm.to(like.device)] for x in (item, bias))
        self._change(ids, ItemBlock(ids, item, bias))

    def _change(self, ids: Tensor, new: ItemBlock) -> None:
        """Replaces items by new rows, or by nothing."""
        state = self._state
        if len(ids) == 0:
            return
        next_id = max(state.next_id, int(ids.max()) + 1)
        main, delta = state.main.without(ids), state.delta.without(ids).merge(new)
        self._state = IndexState(main, state.lists, delta, next_id)
        changed = max(len(delta), int((~main.live).sum()))
        if changed > CHANGED * len(main):
            self._rebuild(main.merge(delta))

    def _rebuild(self, main: ItemBlock) -> None:
        if self.kind == "exact":
            lists = None
        else:
            lists = InvertedLists.build(main, self.kind == "sq8") if len(main) else None
        self._state = IndexState(main, lists, main.empty(), self._state.next_id)


def _check_pairs(exclude: Pairs, num_queries: int, state: IndexState) -> Pairs:
    rowptr, col = (index.to(state.main.ids) for index in exclude)
    if rowptr.numel() != num_queries + 1 or rowptr[0] != 0 or rowptr[-1] != len(col):
        raise ValueError(
            f"Expected 'rowptr' of {num_queries + 1} entries from 0 to {len(col)} in "
            f"'exclude' (got {rowptr}); it counts what each query excludes"
        )
    if len(col) and (col.min() < 0 or col.max() >= state.next_id):
        raise ValueError(
            f"Expected ids of items in [0, {state.next_id}) in 'exclude' (got "
            f"{int(col.min())} to {int(col.max())}); items are counted from 0 here"
        )
    return rowptr, col


def _sums(about: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """Checksums of all that is written."""
    sums: dict[str, object] = {
        name: [zlib.crc32(x.numpy().reshape(-1).view("uint8").data), str(x.dtype)]
        for name, x in tensors.items()
    }
    sums["shapes"] = {name: list(x.size()) for name, x in tensors.items()}
    return json.dumps({**sums, "about": about}, sort_keys=True)
