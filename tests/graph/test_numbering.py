"""An append-only numbering, against a dictionary of all nodes."""

import random

import pytest
import torch

from ltgnn_pyg.graph import Numbering

TYPES = ("user", "item", "tag", "shop")


class Dictionary:
    """Each node, one by one."""

    def __init__(self):
        self.nodes = {}

    def append(self, num):
        start = sum(map(len, self.nodes.values()))
        for node_type, count in num.items():
            self.nodes.setdefault(node_type, [])
            self.nodes[node_type] += range(start, start + count)
            start += count


def history(seed):
    """Numberings one after the other, and what they are to be."""
    generator, oracle = random.Random(seed), Dictionary()
    num = {name: generator.randrange(4) for name in TYPES[: generator.randint(1, 3)]}
    oracle.append(num)
    numbering = Numbering.of(num)
    yield numbering, oracle.nodes
    for _ in range(generator.randrange(9)):
        names = generator.sample(TYPES, generator.randrange(4))
        num = {name: generator.randrange(4) for name in names}
        oracle.append(num)
        numbering = numbering.append(num)
        yield numbering, oracle.nodes


def as_list(nodes, num_nodes):
    return torch.arange(num_nodes)[nodes].tolist()


@pytest.mark.parametrize("dtype", [torch.long, torch.int32])
@pytest.mark.parametrize("seed", range(60))
def test_against_a_dictionary(seed, dtype):
    for numbering, nodes in history(seed):
        assert set(numbering.node_types) == set(nodes)
        assert numbering.num_nodes == sum(map(len, nodes.values()))
        everything = torch.arange(-2, numbering.num_nodes + 2, dtype=dtype)
        for name, numbers in nodes.items():
            assert numbering.count(name) == len(numbers)
            assert as_list(numbering.nodes(name), numbering.num_nodes) == numbers
            index = torch.arange(len(numbers), dtype=dtype)
            n_id = torch.tensor(numbers, dtype=dtype)
            for order in (slice(None), torch.randperm(len(numbers))):
                found = numbering.number(name, index[order])
                assert found.dtype == dtype and torch.equal(found, n_id[order])
                found = numbering.index(name, n_id[order])
                assert found.dtype == dtype and torch.equal(found, index[order])
            mask = numbering.is_of(name, everything)
            assert everything[mask].tolist() == numbers


@pytest.mark.parametrize("seed", range(60))
def test_append_never_renumbers(seed):
    before = {}
    for numbering, nodes in history(seed):
        for name, old in before.items():
            index = torch.arange(len(old))
            assert numbering.number(name, index).tolist() == old
            assert numbering.index(name, torch.tensor(old).long()).tolist() == [
                *range(len(old))
            ]
        before = {name: list(numbers) for name, numbers in nodes.items()}


@pytest.mark.parametrize("seed", range(60))
def test_consecutive_nodes_are_a_slice(seed):
    """Which takes rows without a copy; also of runs that lie side by side."""
    for numbering, nodes in history(seed):
        for name, numbers in nodes.items():
            is_one = numbers == [*range(numbers[0], numbers[-1] + 1)] if numbers else 1
            assert isinstance(numbering.nodes(name), slice) == bool(is_one)


def test_shapes_and_readme():
    numbering = Numbering.of({"user": 3, "item": 2}).append({"user": 1})
    assert numbering.number("user", torch.tensor([0, 3])).tolist() == [0, 5]
    table = torch.tensor([[0, 3], [2, 1]])
    assert numbering.number("user", table).tolist() == [[0, 5], [2, 1]]
    assert numbering.runs == (("user", 3), ("item", 2), ("user", 1))
    assert numbering.append({}) == numbering.append({"item": 0}) == numbering
    more = numbering.append({"tag": 0})  # A type of which there is no node yet.
    assert more.node_types == ("user", "item", "tag") and more.count("tag") == 0
    assert more.nodes("tag") == slice(0, 0)
    assert more.append({"tag": 2}).nodes("tag") == slice(6, 8)


def test_refusals():
    numbering = Numbering.of({"user": 3, "item": 2})
    with pytest.raises(ValueError, match=r"numbers of nodes \(got -1 of type 'item'"):
        Numbering.of({"item": -1})
    with pytest.raises(ValueError, match="got -2 of type 'user'"):
        numbering.append({"user": -2})
    for call in (
        lambda: numbering.count("tag"),
        lambda: numbering.nodes("tag"),
        lambda: numbering.number("tag", torch.arange(2)),
        lambda: numbering.index("tag", torch.arange(2)),
        lambda: numbering.is_of("tag", torch.arange(2)),
    ):
        with pytest.raises(ValueError, match=r"among \('user', 'item'\) \(got 'tag'"):
            call()
