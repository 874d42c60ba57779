from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from ltgnn_pyg.retrieval.vectors import Vectors


class FoldIn:
    r"""PLACEHOLDER"""

    mode = "length"

    def __init__(
        self, vectors: Vectors, item_degree: Tensor, alpha: float = 0.0
    ) -> None:
        if list(item_degree.size()) != [vectors.num_items]:
            raise ValueError("x")
        if not 0.0 <= alpha < 1.0:
            raise ValueError("x")
        self.vectors, self.alpha = vectors, alpha
        self.weight = (item_degree + 1.0).rsqrt().to(vectors.dtype)
        norm = vectors.item.norm(dim=1)
        self.is_unit = bool(((norm - 1.0).abs() < 1e-3).all())
        self.mean = float(
            (self.weight * item_degree.to(self.weight)).sum() / item_degree.sum()
        )

    def __call__(self, items, user=None, degree=None):
        ptr, col = items
        m = ptr.diff().to(self.weight)
        num = m if degree is None else m + degree
        total = embedding_bag(
            col,
            self.vectors.item,
            ptr,
            mode="sum",
            per_sample_weights=self.weight[col],
            include_last_offset=True,
        )
        out = (1 - self.alpha) * total / num.sqrt().unsqueeze(1)
        if user is not None:
            old = self.vectors.user[user] * (degree / num).sqrt().unsqueeze(1)
            if self.is_unit:
                if self.mode == "length":
                    old = old * (
                        (1 - self.alpha) * degree.sqrt() * self.mean
                    ).unsqueeze(1)
                elif isinstance(self.mode, Tensor):
                    old = old * self.mode[user].unsqueeze(1)
            out = out + old
        return normalize(out) if self.is_unit else out
