from __future__ import annotations

import os
import os.path as osp
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from torch_geometric.data import Data, InMemoryDataset, download_url

from ltgnn_pyg.datasets.align_ids import align_ids
from ltgnn_pyg.datasets.order import choose_order
from ltgnn_pyg.datasets.readers.read_interactions import read_interactions
from ltgnn_pyg.datasets.replace_file import replace_file
from ltgnn_pyg.datasets.split import Split
from ltgnn_pyg.datasets.split_given import split_given
from ltgnn_pyg.graph.graph import Graph


class InteractionDataset(InMemoryDataset):
    r"""The abstract base of datasets published as :obj:`train.txt` and
    :obj:`test.txt` in LightGCN text.

    :obj:`dataset[0]` is the graph of all training interactions, :obj:`train` and
    :obj:`test` are the interactions, and :meth:`split` gives their split. Both files
    are looked for in :obj:`root/raw`, :obj:`root` and :obj:`root/{name}`, in this
    order, and used as they lie: nothing is written. Otherwise they are downloaded
    into :obj:`root/raw`, if the dataset has a :obj:`url`.

    Args:
        root (str): The folder of the dataset.
        transform (callable, optional): A function that takes a
            :class:`~torch_geometric.data.Data` and returns a transformed one.
            (default: :obj:`None`)
        duplicates (str, optional): If :obj:`"error"`, a repeated pair is an
            error; if :obj:`"drop"`, its first occurrence stays, and test pairs
            that repeat a training pair leave the test part.
            (default: :obj:`"error"`)
        log (bool, optional): If :obj:`True`, a download says so on the console.
            (default: :obj:`False`)

    Raises:
        FileNotFoundError: If the files are not there and there is no
            :obj:`url`.
        RuntimeError: If the download fails.
        ValueError: If a file is not LightGCN text or not of the published size.

    *Cost:* one read of the files; there is no processed copy.
    """

    name: str
    url: str | None = None  # of the folder that holds both files
    sizes: tuple[int, int, int, int] | None = None  # users, items, train, test
    in_order_of_time: bool = False  # each user's lines are, and the test part is later

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Data], Data] | None = None,
        duplicates: str = "error",
        log: bool = False,
    ) -> None:
        super().__init__(os.fspath(root), transform, log=log)
        if not _complete(self.raw_dir):
            raise FileNotFoundError(
                f"Expected 'train.txt' and 'test.txt' in one of {self._folders} (got "
                f"no such folder); put both files there"
            )
        self.duplicates = duplicates
        self.train, self.test = align_ids(
            *(
                read_interactions(p, "lightgcn", duplicates=duplicates)
                for p in self.raw_paths
            )
        )
        train, test = self.train, self.test
        sizes = (train.num_users, train.num_items, len(train), len(test))
        if self.sizes is not None and sizes != self.sizes:
            raise ValueError(
                f"{self.raw_dir}: Expected {type(self).__name__} of {self.sizes} "
                f"users, items, train, test (got {sizes}); download the files again, "
                f"or open another dataset with LightGCNText"
            )
        self._data = Graph.from_interactions(train).to_data()

    @property
    def raw_file_names(self) -> list[str]:
        r"""The files of the training and of the test interactions."""
        return ["train.txt", "test.txt"]

    @property
    def _folders(self) -> list[str]:
        return [osp.join(self.root, folder) for folder in ("raw", "", self.name)]

    @property
    def raw_dir(self) -> str:
        r"""The folder that holds both files, or is to hold them."""
        return next(filter(_complete, self._folders), self._folders[0])

    @property
    def has_download(self) -> bool:
        r"""True if missing files can be downloaded."""
        return self.url is not None

    def download(self) -> None:
        r"""Downloads both files into :obj:`raw_dir`; none is left half-written."""
        with TemporaryDirectory(dir=self.raw_dir) as temp:
            try:
                paths = self._fetch(temp)
            except OSError as error:
                raise RuntimeError(
                    f"Expected {self.raw_file_names} at {self.url} (got {error!r}); "
                    f"put both into {self.raw_dir} by hand"
                ) from error
            for path, name in zip(paths, self.raw_file_names, strict=True):
                replace_file(Path(self.raw_dir, name), partial(os.replace, path))

    def _fetch(self, folder: str) -> list[str]:
        return [
            download_url(f"{self.url}/{name}", folder, self.log)
            for name in self.raw_file_names
        ]

    def split(
        self, val_ratio: float = 0.0, order: str | None = None, seed: int = 0
    ) -> Split:
        r"""The published split, by :func:`split_given`.

        Args:
            val_ratio (float, optional): The share of each user's training
                interactions to validate on. (default: :obj:`0.0`)
            order (str, optional): :obj:`"lines"` validates on the last of each user,
                :obj:`"random"` on random ones. If :obj:`None`, on the last where the
                files are known to be in order of time (:obj:`in_order_of_time`) and
                each user's lines are not sorted by item, else on random ones.
                (default: :obj:`None`)
            seed (int, optional): The seed of a random validation part.
                (default: :obj:`0`)
        """
        order = choose_order(self.train, order, self.in_order_of_time)
        return split_given(
            self.train, self.test, val_ratio, order, seed, self.duplicates
        )


def _complete(folder: str) -> bool:
    return all(
        osp.isfile(osp.join(folder, f"{part}.txt")) for part in ("train", "test")
    )
