import pytest
import torch
import torch.nn.functional as F

from ltgnn_pyg import LTGNN, Graph
from ltgnn_pyg.graph.edges import Edges
from ltgnn_pyg.graph.normalize import normalized_adj
from ltgnn_pyg.graph.polynomial import polynomial
from ltgnn_pyg.nn.conv import exact_coefficients
from ltgnn_pyg.scorers import FoldIn, Query, Vectors
from tests.dense import dense_adj

ALPHA = 0.3


@pytest.fixture
def table(graph):
    """The fixed point of the graph and what it is of."""
    x = torch.randn(graph.num_nodes, 4, dtype=torch.double)
    adj = dense_adj(graph.edge_index, graph.num_nodes).double()
    eye = torch.eye(graph.num_nodes, dtype=torch.double)
    return x, torch.linalg.solve(eye - (1 - ALPHA) * adj, ALPHA * x)


def csr(rows):
    ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    return ptr, torch.tensor([i for row in rows for i in row], dtype=torch.long)


def split_of(graph, z):
    return Vectors(z[: graph.num_users], z[graph.num_users :])


def items_of(graph, user):
    source, target = graph.edge_index
    return (target[source == user] - graph.num_users).tolist()


def degrees(graph):
    edges = graph.edge_index[0] - graph.num_users
    return torch.bincount(edges[edges >= 0], minlength=graph.num_items)


def with_edges(graph, user, items, num_nodes):
    """The matrix with new edges, users that are not there yet last."""
    new = torch.tensor([[user] * len(items), [i + graph.num_users for i in items]])
    edge_index = torch.cat([graph.edge_index, new, new.flip(0)], dim=1)
    return dense_adj(edge_index, num_nodes).double()


def test_known_users_equal_a_row_of_the_propagation(graph, table):
    x, z = table
    vectors = split_of(graph, z)
    fold_in = FoldIn(vectors, degrees(graph), alpha=ALPHA)
    assert not fold_in.is_unit
    users = list(range(1, graph.num_users))  # User 0 has taken all but one.
    seen = [items_of(graph, user) for user in users]
    new = [[i for i in range(graph.num_items) if i not in row] for row in seen]
    out = fold_in.rows(csr(new), torch.tensor(users), csr(seen))
    for row, user, old, items in zip(out, users, seen, new, strict=True):
        adj = with_edges(graph, user, items, graph.num_nodes)
        scale = (len(old) / (len(old) + len(items))) ** 0.5
        expected = (1 - ALPHA) * adj[user] @ z + scale * ALPHA * x[user]
        torch.testing.assert_close(row, expected)


def test_new_users_equal_a_row_of_the_propagation(graph, table):
    _, z = table
    fold_in = FoldIn(split_of(graph, z), degrees(graph), ALPHA)
    rows = [[0, 3], [2], [1, 2, 4]]
    out = fold_in.rows(csr(rows))
    for row, items in zip(out, rows, strict=True):
        adj = with_edges(graph, graph.num_nodes, items, graph.num_nodes + 1)
        expected = (1 - ALPHA) * adj[-1, :-1] @ z
        torch.testing.assert_close(row, expected)


def test_unit_rows_keep_what_they_can(graph):
    """With equal lengths before, nothing is lost: the direction is the very one."""
    items = F.normalize(torch.randn(graph.num_items, 4, dtype=torch.double), dim=1)
    seen = [items_of(graph, user) for user in range(graph.num_users)]
    degree = degrees(graph)

    def row(items_, d):
        weight = (torch.tensor(d, dtype=torch.double)).rsqrt()
        return (weight.unsqueeze(1) * items[items_]).sum(0) / len(items_) ** 0.5

    whole = torch.stack([row(i, [float(degree[j]) for j in i]) for i in seen])
    vectors = Vectors(F.normalize(whole, dim=1), items)
    fold_in = FoldIn(vectors, degree, alpha=ALPHA)
    assert fold_in.is_unit
    user, new = 2, [i for i in range(graph.num_items) if i not in seen[2]]
    out = fold_in.rows(csr([new]), torch.tensor([user]), csr([seen[user]]))
    d = [float(degree[i]) for i in seen[user]] + [float(degree[i]) + 1 for i in new]
    expected = F.normalize(row(seen[user] + new, d), dim=0)
    torch.testing.assert_close(out[0], expected)


def test_without_news_nothing_changes(graph, table):
    _, z = table
    users = torch.arange(graph.num_users)
    seen = csr([items_of(graph, user) for user in range(graph.num_users)])
    nothing = csr([[] for _ in range(graph.num_users)])
    for rows in (z, F.normalize(z, dim=1)):
        vectors = split_of(graph, rows)
        fold_in = FoldIn(vectors, degrees(graph), alpha=ALPHA)
        torch.testing.assert_close(fold_in.rows(nothing, users, seen), vectors.user)
        assert not fold_in.rows(nothing).any()
        # Who had nothing either counts as new.
        new = csr([[0, 1]] * graph.num_users)
        torch.testing.assert_close(fold_in.rows(new, users, nothing), fold_in.rows(new))


def test_batches_equal_single_users():
    vectors = Vectors(torch.randn(9, 3), torch.randn(20, 3))
    fold_in = FoldIn(vectors, torch.randint(1, 5, (20,)))
    rows = [[1, 2], [], [19], [4, 5, 6]]
    whole = fold_in.rows(csr(rows))
    for row, items in zip(whole, rows, strict=True):
        torch.testing.assert_close(row, fold_in.rows(csr([items]))[0])


def test_recovers_users_left_out(graph):
    """K steps from a table whose users are zeros: an even row of the next step."""
    num_users = graph.num_users
    x = torch.randn(graph.num_nodes, 4)
    x[:num_users] = 0.0
    adj = normalized_adj(graph.edge_index, None, graph.num_nodes)
    z = polynomial(x, adj, exact_coefficients(ALPHA, 3))
    after = polynomial(x, adj, exact_coefficients(ALPHA, 4))[:num_users]
    fold_in = FoldIn(split_of(graph, z), degrees(graph) - 1, ALPHA)
    rows = csr([items_of(graph, user) for user in range(num_users)])
    torch.testing.assert_close(fold_in.rows(rows), after)


def test_wrong_arguments():
    vectors = Vectors(torch.randn(2, 3), torch.randn(4, 3))
    with pytest.raises(ValueError, match="item_degree"):
        FoldIn(vectors, torch.ones(3))
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="alpha"):
            FoldIn(vectors, torch.ones(4), alpha=alpha)
    fold_in = FoldIn(vectors, torch.ones(4))
    with pytest.raises(ValueError, match="together"):
        fold_in.rows(csr([[1]]), torch.tensor([0]))
    with pytest.raises(ValueError, match="as many users"):
        fold_in.rows(csr([[1]]), torch.tensor([0, 1]), csr([[2]]))


def old_formula(vectors, degree, user, seen, items):
    """The vector of a known user and what they have taken since, item by item."""
    z, d, m = vectors.item.double(), len(seen), len(items)
    new = sum(z[i] / (degree[i] + 1) ** 0.5 for i in items)
    new = (1 - ALPHA) / (d + m) ** 0.5 * new
    return (d / (d + m)) ** 0.5 * vectors.user[user] + new


def appended(graph, user, items):
    """The graph with edges of a user, a new one after the last."""
    num_new = int(user == graph.num_users)
    graph = graph.append({"user": num_new})
    index = torch.tensor(items)
    ends = graph.number("user", torch.full_like(index, user))
    return graph.append(edges=Edges(torch.stack([ends, graph.number("item", index)])))


@pytest.mark.parametrize("bias", [False, True])
def test_queries_of_known_users_and_items_since(graph, table, bias):
    """By the formula, and by a step over the graph with the edges appended."""
    x, z = table
    item_bias = torch.randn(graph.num_items, dtype=torch.double) if bias else None
    vectors = Vectors(z[: graph.num_users], z[graph.num_users :], item_bias)
    known = Graph.from_data(graph)
    scorer = FoldIn(vectors, known.item_degree, ALPHA, known.rows)
    assert scorer.as_vectors is vectors
    users = list(range(1, graph.num_users))  # User 0 has taken all but one.
    seen = [items_of(graph, user) for user in users]
    new = [[i for i in range(graph.num_items) if i not in row] for row in seen]
    query = Query(torch.tensor(users), csr(new))
    score = scorer.score(query)
    for row, user, old, items in zip(score, users, seen, new, strict=True):
        by_formula = old_formula(vectors, degrees(graph), user, old, items)
        adj = appended(known, user, items).matrix.to_dense().double()
        scale = (len(old) / (len(old) + len(items))) ** 0.5
        by_step = (1 - ALPHA) * adj[user] @ z + scale * ALPHA * x[user]
        torch.testing.assert_close(by_formula, by_step, atol=1e-6, rtol=1e-6)
        expected = vectors.item @ by_formula + (item_bias if bias else 0.0)
        torch.testing.assert_close(row, expected)
    room = torch.full((len(query), graph.num_items + 2), torch.nan, dtype=torch.double)
    assert scorer.score(query, out=room[:, :-2]).equal(score)
    assert room[:, -2:].isnan().all()
    assert scorer.score(Query(query.user)).equal(vectors.score(Query(query.user)))


def test_queries_of_new_users(graph, table):
    _, z = table
    known, lists = Graph.from_data(graph), [[0, 3], [2], [1, 2, 4]]
    scorer = FoldIn(split_of(graph, z), known.item_degree, ALPHA)
    score = scorer.score(Query.of_items([*lists, []]))
    assert not score[-1].any()
    for row, items in zip(score[:-1], lists, strict=True):
        adj = appended(known, graph.num_users, items).matrix.to_dense().double()
        expected = z[graph.num_users :] @ ((1 - ALPHA) * adj[-1, :-1] @ z)
        torch.testing.assert_close(row, expected, atol=1e-6, rtol=1e-6)


def test_models_know_what_users_had_taken(graph, pairs):
    """Of cosines too: the scorer of a model answers each kind of query."""
    given = Graph.from_data(graph)
    model = LTGNN(7, 5, 4, alpha=ALPHA, init_std=1.0)
    scorer = model.scorer(given)
    assert scorer.alpha == ALPHA and scorer.is_unit
    user, items = torch.tensor([2, 5]), csr([[4], [1, 3]])
    seen = csr([items_of(graph, 2), items_of(graph, 5)])
    rows = scorer.rows(items, user, seen)
    expected = rows @ scorer.vectors.item.t() + scorer.vectors.item_bias
    torch.testing.assert_close(scorer.score(Query(user, items)), expected)
    alone = FoldIn(scorer.vectors, scorer.item_degree, ALPHA)
    assert alone.score(Query(items=items)).equal(scorer.score(Query(items=items)))
    with pytest.raises(ValueError, match="pass 'seen'"):
        alone.score(Query(user, items))
    for item in (-1, 5):
        with pytest.raises(ValueError, match=r"items in \[0, 5\)"):
            scorer.score(Query(items=csr([[item]])))
