"""Metrics of lists against their definitions word by word, and against PyG's."""

import math
from itertools import combinations

import pytest
import torch
from torch_geometric.metrics import (
    LinkPredAveragePopularity,
    LinkPredDiversity,
    LinkPredMetricCollection,
    LinkPredPersonalization,
)

from ltgnn_pyg.evaluation.metrics import (
    ILD,
    Gini,
    ItemMean,
    Personalization,
    Serendipity,
)

NUM_LISTS, NUM_ITEMS, WIDTH = 12, 30, 8


def lists(short):
    """Lists of different items; some short ones, one without an item."""
    item = torch.stack([torch.randperm(NUM_ITEMS)[:WIDTH] for _ in range(NUM_LISTS)])
    if short:
        num = torch.tensor([8, 3, 1, 0, 5, 8, 2, 7, 8, 4, 6, 1])
        item[torch.arange(WIDTH) >= num.unsqueeze(1)] = NUM_ITEMS
    return item


def labels():
    """Pairs of list and item, none of list 4."""
    pair = torch.randperm(NUM_LISTS * NUM_ITEMS)[:150]
    pair = pair[pair // NUM_ITEMS != 4]
    return pair // NUM_ITEMS, pair % NUM_ITEMS


def real(item, k):
    return [[i for i in row[:k] if i < NUM_ITEMS] for row in item.tolist()]


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def measured(metric, item, label, chunks=3):
    """Chunk by chunk, in a collection, as PyG's."""
    collection = LinkPredMetricCollection({"metric": metric})
    for at in torch.arange(NUM_LISTS).chunk(chunks):
        mask = torch.isin(label[0], at)
        collection.update(item[at], (label[0][mask] - at[0], label[1][mask]))
    return float(metric.compute())


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("k", [1, 5, 8])
def test_ild(short, k):
    item, label = lists(short), labels()
    vector = torch.randn(NUM_ITEMS, 4)
    vector[3] = 0.0
    cosine = torch.cosine_similarity(vector.unsqueeze(0), vector.unsqueeze(1), dim=2)
    expected = []
    for row in real(item, k):
        pairs = combinations(row, 2)
        expected.append(mean(1 - float(cosine[i, j]) for i, j in pairs))
    out = measured(ILD(k, vector), item, label)
    assert out == pytest.approx(mean(expected), abs=1e-6)


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("k", [1, 5, 8])
def test_item_mean(short, k):
    item, label = lists(short), labels()
    value = torch.rand(NUM_ITEMS)
    expected = mean(mean(float(value[i]) for i in row) for row in real(item, k))
    out = measured(ItemMean(k, value), item, label)
    assert out == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("k", [1, 5, 8])
def test_gini_and_personalization(short, k):
    item, label = lists(short), labels()
    rows = real(item, k)
    count = sorted(sum(i in row for row in rows) for i in range(NUM_ITEMS))
    difference = mean(abs(a - b) for a in count for b in count)
    out = measured(Gini(k, NUM_ITEMS), item, label)
    assert out == pytest.approx(difference / 2 / mean(count))
    common = mean(len({*a} & {*b}) / k for a, b in combinations(rows, 2))
    out = measured(Personalization(k, NUM_ITEMS), item, label)
    assert out == pytest.approx(1 - common)


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("k", [1, 5, 8])
def test_serendipity(short, k):
    item, label = lists(short), labels()
    popularity = torch.randint(0, 6, (NUM_ITEMS,))
    relevant = set(zip(*(each.tolist() for each in label), strict=True))
    ranks = sorted({*popularity.tolist()}, reverse=True)
    expected = []
    for user, row in enumerate(real(item, k)):
        gains = []
        for place, i in enumerate(row):
            own = (NUM_ITEMS + 1 - (place + 1)) / NUM_ITEMS
            taken = int(popularity[i])
            any_user = (NUM_ITEMS + 1 - (ranks.index(taken) + 1)) / NUM_ITEMS
            gain = max(own - (any_user if taken > 0 else 0.0), 0.0)
            gains.append(gain if (user, i) in relevant else 0.0)
        expected.append(mean(gains))
    out = measured(Serendipity(k, popularity), item, label)
    assert out == pytest.approx(mean(expected), abs=1e-6) and out > 0


def test_serendipity_as_rectools_documents_it():
    """The example of its documentation, of four items and lists of two."""
    item = torch.tensor([[0, 1], [1, 2], [2, 4], [1, 2]])
    label = torch.tensor([0, 0, 1, 1, 2, 3]), torch.tensor([0, 1, 1, 2, 1, 1])
    for k, expected in (1, [0.0, 0.25, 0.0, 0.25]), (2, [0.0, 0.5, 0.0, 0.125]):
        metric = Serendipity(k, torch.tensor([3, 2, 0, 0]))
        metric.update(item, label)
        assert float(metric.compute()) == pytest.approx(mean(expected))


def test_equals_pyg_where_lists_are_not_short():
    item, label = lists(False), labels()
    popularity = torch.randint(1, 9, (NUM_ITEMS,))
    category = torch.randint(4, (NUM_ITEMS,))
    one_hot = torch.eye(4)[category]
    for own, theirs in [
        (ItemMean(5, popularity.float()), LinkPredAveragePopularity(5, popularity)),
        (ILD(5, one_hot), LinkPredDiversity(5, category)),
        (Personalization(5, NUM_ITEMS), LinkPredPersonalization(5)),
    ]:
        for metric in (own, theirs):
            metric.update(item, label)
        assert float(own.compute()) == pytest.approx(float(theirs.compute()), abs=1e-6)


def test_reset_starts_anew():
    item, label = lists(True), labels()
    for metric in (
        Gini(5, NUM_ITEMS),
        Personalization(5, NUM_ITEMS),
        ILD(5, torch.randn(NUM_ITEMS, 3)),
        ItemMean(5, torch.rand(NUM_ITEMS)),
        Serendipity(5, torch.arange(NUM_ITEMS)),
    ):
        first = measured(metric, item, label)
        metric.reset()
        assert float(metric.compute()) == 0.0 and math.isfinite(first)
        assert measured(metric, item, label, chunks=1) == pytest.approx(first)
