from __future__ import annotations

import os.path as osp
import tarfile
import zipfile
from glob import escape, glob

from torch_geometric.data import download_google_url

from ltgnn_pyg.datasets.interaction_dataset import InteractionDataset

_LIGHTGCN = "https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/master/data"
_LTGNN = (
    "https://raw.githubusercontent.com/QwQ2000/TheWebConf24-LTGNN-PyTorch/"
    "1d91355668e782de76c750a52e3aeb5cf34d4ac9/data"
)


class LightGCNText(InteractionDataset):
    r"""Any folder that holds :obj:`train.txt` and :obj:`test.txt` in LightGCN
    text. For the arguments see :class:`InteractionDataset`.
    """

    name = ""


class Gowalla(InteractionDataset):
    r"""The Gowalla check-ins in the split of the `"LightGCN: Simplifying and
    Powering Graph Convolution Network for Recommendation"
    <https://arxiv.org/abs/2002.02126>`_ paper: 29,858 users, 40,981 items,
    810,128 interactions to train and 217,242 to test on. Each user's lines are in
    order of time. For the arguments see :class:`InteractionDataset`.
    """

    name = "gowalla"
    url = f"{_LIGHTGCN}/gowalla"
    sizes = (29_858, 40_981, 810_128, 217_242)
    in_order_of_time = True


class Yelp2018(InteractionDataset):
    r"""The Yelp reviews of 2018 in the split of the `"LightGCN: Simplifying and
    Powering Graph Convolution Network for Recommendation"
    <https://arxiv.org/abs/2002.02126>`_ paper: 31,668 users, 38,048 items,
    1,237,259 interactions to train and 324,147 to test on. Each user's lines are in
    order of time. For the arguments see :class:`InteractionDataset`.
    """

    name = "yelp2018"
    url = f"{_LIGHTGCN}/yelp2018"
    sizes = (31_668, 38_048, 1_237_259, 324_147)
    in_order_of_time = True


class AmazonBook(InteractionDataset):
    r"""The Amazon book reviews in the split of the `"LightGCN: Simplifying and
    Powering Graph Convolution Network for Recommendation"
    <https://arxiv.org/abs/2002.02126>`_ paper, about 52,643 users, 91,599 items
    and 2.98 million interactions; the size is not checked. For the arguments see
    :class:`InteractionDataset`.
    """

    name = "amazon-book"
    url = f"{_LIGHTGCN}/amazon-book"


class AlibabaIFashion(InteractionDataset):
    r"""The Alibaba iFashion clicks in the split of the `"Linear-Time Graph Neural
    Networks for Scalable Recommendations" <https://arxiv.org/abs/2402.13973>`_
    paper, about 300,000 users, 81,614 items and 1.6 million interactions; the
    size is not checked. For the arguments see :class:`InteractionDataset`.
    """

    name = "alibaba-ifashion"
    url = f"{_LTGNN}/alibaba-ifashion"


class AmazonLarge(InteractionDataset):
    r"""The large Amazon graph of the `"Linear-Time Graph Neural Networks for
    Scalable Recommendations" <https://arxiv.org/abs/2402.13973>`_ paper, about
    872,557 users, 453,553 items and 15.2 million interactions; the size is not
    checked. It is one file on Google Drive, expected to be a zip or tar archive
    with both files somewhere in it. For the arguments see
    :class:`InteractionDataset`.
    """

    name = "amazon-large"
    url = "https://drive.google.com/file/d/13pYTb6FqdfaDy3WC-Ax-ruK1q9_d0Qub"

    def _fetch(self, folder: str) -> list[str]:
        path = download_google_url(osp.basename(self.url), folder, "file", self.log)
        found = osp.join(folder, "found")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(found)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                archive.extractall(found, filter="data")
        paths = {
            osp.basename(p): p for p in glob(f"{escape(found)}/**/*", recursive=True)
        }
        if not paths.keys() >= set(self.raw_file_names):
            with open(path, "rb") as file:
                start = file.read(40)
            raise OSError(f"file {start!r}... that unpacks to {sorted(paths)[:20]}")
        return [paths[name] for name in self.raw_file_names]
