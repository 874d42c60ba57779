"""The exact parts of benchmarks: ranks, and settings of papers."""

import pytest
import recipes
import torch
from ranks import by_fifths, compare, rank_pairs

from ltgnn_pyg import Graph
from ltgnn_pyg.datasets import split_ratio, synthetic_interactions
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.scorers import Vectors


def test_papers_steps_move_all_rows():
    """Sparse gradients and dense ones take the same steps."""
    start, rows = torch.randn(5, 3), []
    for sparse in (True, False):
        table = torch.nn.Embedding.from_pretrained(start, freeze=False, sparse=sparse)
        adam = torch.optim.Adam if not sparse else recipes.dense_adam
        optimizer = adam(table.parameters(), lr=0.1)
        for index in ([0, 1, 1], [2], [0, 4]):
            optimizer.zero_grad()
            table(torch.tensor(index)).square().sum().backward()
            optimizer.step()
        rows.append(table.weight.detach())
    assert torch.equal(*rows)


def test_published_settings():
    """The settings of the papers' code, of models and of their start."""
    split = split_ratio(synthetic_interactions(300, 200, 4000))
    layers = {"num_layers": 3, "weight_decay": 1e-4}
    expected = {
        ("lightgcn", "gowalla"): {**layers, "num_layers": 4, "std": 0.1},
        ("lightgcn", "yelp2018"): {**layers, "num_layers": 4, "std": 0.1},
        ("ngcf", "gowalla"): {**layers, "weight_decay": 1e-5, "dropout": 0.1},
        ("ngcf", "yelp2018"): {**layers, "weight_decay": 1e-5, "dropout": 0.1},
        ("dgcf", "gowalla"): {
            "num_intents": 4, "num_layers": 1, "num_iterations": 2, "cor_weight": 0.01,
            "weight_decay": 1e-3, "num_cor_nodes": 100,
        },
        ("dgcf", "yelp2018"): {"num_cor_nodes": 61, "weight_decay": 1e-3},
        ("ultragcn", "gowalla"): {"item_weight": 5e-4, "gamma": 1e-4, "std": 1e-4},
        ("ultragcn", "yelp2018"): {"item_weight": 5e-4, "gamma": 1e-4, "std": 1e-4},
        ("sgl", "yelp2018"): {
            **layers, "contrast_weight": 0.1, "contrast_temperature": 0.2,
        },
        ("simgcl", "yelp2018"): {
            "num_layers": 3, "weight_decay": 0.0,
            "contrast_weight": 0.5, "contrast_temperature": 0.2, "eps": 0.1,
        },
        ("xsimgcl", "yelp2018"): {
            "num_layers": 3, "weight_decay": 0.0, "contrast_layer": 1,
            "contrast_weight": 0.2, "contrast_temperature": 0.15, "eps": 0.2,
        },
        ("egcf", "yelp2018"): layers,
        ("lightgode", "gowalla"): {"T": 3.0},
    }  # fmt: skip
    given = {(model, name) for model, of in recipes.PUBLISHED.items() for name in of}
    assert given == expected.keys()
    for (model, name), settings in expected.items():
        made, training = recipes.build(model, "published", name, split, 64)
        std = settings.pop("std", None)
        assert {key: getattr(made, key) for key in settings} == settings
        weight = made.inputs.weight
        if std is None:  # Tables of users and of items of their own.
            made.init_table(training["init"], Graph.from_interactions(split.train))
            sizes = [made.num_users] if made.num_nodes == len(weight) else []
            parts = weight.detach().tensor_split(sizes)
            for part in parts:
                width = (2.0 / (len(part) + 64)) ** 0.5
                assert float(part.std()) == pytest.approx(width, rel=0.05)
        else:
            assert training["init"] is None
            assert float(weight.detach().std()) == pytest.approx(std, rel=0.05)


def test_ranks_equal_evaluate():
    """Two routes to the figures, and quintiles that add up."""
    split = split_ratio(synthetic_interactions(60, 50, 900), test_ratio=0.3)
    vectors = Vectors(torch.randn(60, 4), torch.randn(50, 4))
    ranks = rank_pairs(vectors, split.test, split.train)
    expected = evaluate(
        vectors, split.test, exclude=split.train, k=[5, 20],
        metrics=["recall", "ndcg", "coverage"],
    )  # fmt: skip
    for k in (5, 20):
        assert float(ranks.recall(k).mean()) == pytest.approx(expected[f"recall@{k}"])
        assert float(ranks.ndcg(k).mean()) == pytest.approx(expected[f"ndcg@{k}"])
    assert ranks.lists.unique().numel() / 50 == expected["coverage@20"]
    even = ranks.item % 2 == 0
    whole = sum(
        ranks.recall(20, part).nan_to_num() * part.double().new_zeros(
            len(ranks.users)
        ).index_add_(0, ranks.user, part.double())
        for part in (even, ~even)
    )  # fmt: skip
    total = torch.bincount(ranks.user)
    torch.testing.assert_close(whole / total, ranks.recall(20))
    fifths = by_fifths(ranks, split.train)
    degree = torch.bincount(split.train.user, minlength=60)[ranks.users]
    most = torch.tensor(fifths["most_of_user"])
    assert most.diff().min() >= 0 and most[-1] == degree.max()
    size = torch.bincount(torch.bucketize(degree, most), minlength=5).double()
    for name, metric in (("recall", ranks.recall()), ("ndcg", ranks.ndcg())):
        total = size @ torch.tensor(fifths[f"{name}_by_user"]).double().nan_to_num()
        assert float(total / size.sum()) == pytest.approx(
            float(metric.mean()), abs=1e-6
        )
    better = compare(ranks.recall() + 0.1, ranks.recall())
    assert better["p"] < 0.001 and better["difference"] == pytest.approx(0.1)
    same = compare(ranks.recall(), ranks.recall().flip(0))
    assert same["p"] > 0.01
