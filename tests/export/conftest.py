import numpy as np
import pytest
import torch

from ltgnn_pyg.datasets import Interactions, split_ratio, synthetic_interactions
from ltgnn_pyg.nn import LightGCN
from ltgnn_pyg.runs.run_folder import RunFolder
from ltgnn_pyg.scorers import Vectors


def write_run(folder, bias=True, metrics=None, dim=6, cls=LightGCN):
    """A run whose scores are random, and whose ids are none of ASCII."""
    num_users, num_items = 23, 37
    drawn = synthetic_interactions(num_users, num_items, 300, num_factors=4)
    ids = [np.array([f"{c}{n}" for n in range(num)], dtype=object)
           for c, num in (("ü", num_users), ("物品 ", num_items))]  # fmt: skip
    whole = Interactions(drawn.user, drawn.item, num_users, num_items)
    whole.user_ids, whole.item_ids = ids
    split = split_ratio(whole, order="random", seed=0)
    item_bias = torch.randn(num_items) if bias else None
    vectors = Vectors(
        torch.randn(num_users, dim), torch.randn(num_items, dim), item_bias
    )
    model = cls(num_users, num_items, dim)
    config = {"model": model.settings(), "data": "/home/me/secret.csv"}
    if metrics is not None:
        config["metrics"] = metrics
    return RunFolder.write(folder, vectors, split, config, model)


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def run(request, tmp_path):
    return write_run(tmp_path / "run", request.param)
