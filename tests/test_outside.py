"""The package from outside: PyG's data in, lists out, as a user writes it."""

from types import SimpleNamespace

import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.transforms import ToUndirected

from ltgnn_pyg import LTGNN, Graph, LTConv, PairLoader, VRNeighborLoader, fit
from ltgnn_pyg.datasets import Interactions, read_interactions, split_leave_one_out
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.graph import Edges
from ltgnn_pyg.inputs import Embeddings, RowAdam
from ltgnn_pyg.nn import Recommender
from ltgnn_pyg.retrieval import top_k

BLOCKS, SIZE, USERS = 4, 8, 64
RATES, OF = ("user", "rates", "movie"), ("movie", "of", "genre")


def movielens(genres=True):
    """Data in the form of PyG's MovieLens, whose right lists are known.

    Users watch all movies of their block, and the last one by time is the only one of
    the block that is not known in the test. Numbers of movies tell nothing of blocks.
    """
    number = torch.randperm(BLOCKS * SIZE, generator=torch.Generator().manual_seed(5))
    user = torch.arange(USERS).repeat_interleave(SIZE)
    place = torch.arange(SIZE).repeat(USERS)
    block, turn = user % BLOCKS, user // BLOCKS
    data = HeteroData()
    data["movie"].x = torch.randn(BLOCKS * SIZE, 3)
    data["user"].num_nodes = USERS
    data[RATES].edge_index = torch.stack([user, number[block * SIZE + place]])
    data[RATES].edge_label = torch.randint(1, 6, (user.numel(),))
    data[RATES].time = 1_600_000_000 + (place - turn) % SIZE
    if genres:
        movie = torch.arange(BLOCKS * SIZE)
        data["genre"].num_nodes = BLOCKS
        data[OF].edge_index = torch.stack([number, movie // SIZE])
    return ToUndirected()(data)  # Adds rev_rates and rev_of.


def right(data):
    """The movie that each user watches last, by its own number."""
    (user, movie), time = data[RATES].edge_index, data[RATES].time
    out = torch.empty(USERS, dtype=torch.long)
    for u in range(USERS):
        seen = user == u
        out[u] = movie[seen][time[seen].argmax()]
    return out


@pytest.fixture(scope="module")
def trained():
    """A model of hetero data, and all that it was made of."""
    torch.manual_seed(12)
    data = movielens()
    graph = Graph.from_hetero(data, item="movie")
    split = split_leave_one_out(Interactions.from_graph(graph))
    model = LTGNN.of(graph, 16)  # Genres have a row, too.
    report = fit(model, split, graph=graph, max_epochs=5)
    return SimpleNamespace(**locals())


def test_hetero_data_in_lists_in_the_numbering_of_movies_out(trained):
    data, graph, split = trained.data, trained.graph, trained.split
    assert split.order == "time"
    assert graph.edge_types == (("user", "rates", "item"), ("item", "of", "genre"))
    assert graph.num_edges == USERS * SIZE + BLOCKS * SIZE  # Each once.
    _, movies = top_k(trained.report.scorer, 3, exclude=split.known)
    assert torch.equal(movies[:, 0], right(data))
    result = evaluate(trained.report.scorer, split.test, exclude=split.known, k=1)
    assert result == {"recall@1": 1.0, "ndcg@1": 1.0}
    # What was held out is not in the graph that is scored over, and genres are.
    scored = trained.report.graph
    assert scored.num_edges == graph.num_edges - USERS
    assert torch.equal(scored.edges.of_type(1).index, graph.edges.of_type(1).index)


def test_hetero_data_comes_back_as_it_was(trained):
    data, back = trained.data, trained.graph.to_hetero()
    assert set(back.node_types) == {"user", "movie", "genre"}
    assert back.edge_types == [RATES, OF]
    for kind in (RATES, OF):
        assert torch.equal(back[kind].edge_index, data[kind].edge_index)
    assert torch.equal(back[RATES].time, data[RATES].time)


def test_the_layer_on_hetero_data_is_that_on_pygs_homogeneous_data(trained):
    """Two numberings, one result; nobody renumbers anything."""
    data, graph = trained.data, trained.graph
    whole = data.to_homogeneous(node_attrs=[], edge_attrs=[])
    x = torch.randn(whole.num_nodes, 4)
    expected = LTConv(alpha=0.2, K=3)(x, whole.edge_index)
    names = {"user": "user", "movie": "item", "genre": "genre"}
    mine = torch.empty_like(x)
    for code, own in enumerate(data.node_types):
        mine[graph.nodes(names[own])] = x[whole.node_type == code]
    z = LTConv(alpha=0.2, K=3)(mine, graph.operator)
    for code, own in enumerate(data.node_types):
        rows = z[graph.nodes(names[own])]
        torch.testing.assert_close(rows, expected[whole.node_type == code])


def test_the_history_loader_on_hetero_data(trained):
    """With all neighbours, what it pulls is the exact product."""
    graph = trained.graph
    inputs = Embeddings(graph.num_nodes, 16, std=0.1)
    sizes = graph.num_users, graph.num_items
    model = LTGNN(*sizes, 16, alpha=0.2, K=None, inputs=inputs)
    optimizer = RowAdam(model.parameters(), lr=0.01)
    model.loss_fn.prepare(graph)
    for batch in VRNeighborLoader(graph, model, num_neighbors=-1, batch_size=128):
        exact = graph.operator @ model.history.output()
        torch.testing.assert_close(batch.aggregate, exact[batch.seeds])
        user, item = batch.n_id[batch.src_index], batch.n_id[batch.dst_pos_index]
        assert bool(graph.numbering.is_of("user", user).all())
        assert bool(graph.numbering.is_of("item", item).all())
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()


class Mine(Recommender):
    """A model of a user's own: what three layers with weights say, and the table."""

    def __init__(self, num_users, num_items, embedding_dim=16, **kwargs):
        super().__init__(num_users, num_items, embedding_dim, **kwargs)
        layers = [torch.nn.Linear(embedding_dim, embedding_dim) for _ in range(3)]
        self.layers = torch.nn.ModuleList(layers)

    def encode(self, graph):
        z = self.inputs.table()
        for layer in self.layers:
            z = z + layer(graph.operator @ z).tanh()
        return z


def small_rounds(graph, model):
    return PairLoader(graph, batch_size=64)


def test_a_model_of_ones_own():
    data = movielens(genres=False)
    graph = Graph.from_hetero(data, item="movie")
    split = split_leave_one_out(Interactions.from_graph(graph))
    model = Mine(graph.num_users, graph.num_items)
    report = fit(model, split, loader=small_rounds, metric="recall@1")
    _, movies = top_k(report.scorer, 1, exclude=split.known)
    assert torch.equal(movies[:, 0], right(data))


def test_a_new_user_and_a_new_item():
    data = movielens(genres=False)
    graph = Graph.from_hetero(data, item="movie")
    model = LTGNN(graph.num_users, graph.num_items, 16)
    fit(model, split_leave_one_out(Interactions.from_graph(graph)), max_epochs=5)
    model.refresh(graph)  # Fills the history.
    before = SimpleNamespace(
        x=model.inputs.table().detach().clone(),
        z=model.encode(graph).detach(),
        history={name: t.clone() for name, t in model.history.tables().items()},
    )
    # The new user watches all movies of block 0 but one; its users watch the new movie.
    movies = data[RATES].edge_index[1].view(USERS, SIZE)[0]
    watched, left = movies[1:], movies[:1]
    users = torch.arange(0, USERS, BLOCKS)[1:]
    num = graph.num_nodes
    grown = graph.append({"user": 1, "item": 1})
    new_user, new_movie = torch.tensor([USERS]), torch.tensor([BLOCKS * SIZE])
    assert grown.number("user", new_user).item() == num
    assert grown.number("item", new_movie).item() == num + 1
    for kind, size in (("user", USERS), ("item", BLOCKS * SIZE)):
        index = torch.arange(size)
        assert torch.equal(grown.number(kind, index), graph.number(kind, index))
        assert torch.equal(grown.index(kind, grown.number(kind, index)), index)
    new = Interactions(
        torch.cat([new_user.expand(len(watched)), users]),
        torch.cat([watched, new_movie.expand(len(users))]),
        grown.num_users,
        grown.num_items,
    )
    grown = grown.append(edges=Edges(grown.pairs(new)))
    model.append(grown)
    # All others keep their rows of the table and of the history, to the bit.
    assert model.num_nodes == model.history.num_nodes == num + 2
    assert torch.equal(model.inputs.table()[:num], before.x)
    for name, table in model.history.tables().items():
        assert torch.equal(table[:num], before.history[name])
        assert not table[num:].any()
    # Who is not linked to the new ones keeps the embedding.
    z = model.encode(grown).detach()
    apart = torch.arange(USERS) % BLOCKS != 0
    torch.testing.assert_close(z[:USERS][apart], before.z[:USERS][apart])
    # Both are in the lists, without training.
    scorer, known = model.scorer(grown), Interactions.from_graph(grown)
    _, items = top_k(scorer, 2, user=new_user, exclude=new)
    assert set(items[0].tolist()) == {left.item(), new_movie.item()}
    _, items = top_k(scorer, 1, user=torch.tensor([0]), exclude=known)
    assert torch.equal(items[0], new_movie)
    # Training goes on, in rounds and by the history.
    optimizer = RowAdam(model.parameters(), lr=0.001)
    loaders = PairLoader(grown, num_rounds=2), VRNeighborLoader(grown, model)
    for loader in loaders:
        for batch in loader:
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()
    assert bool(model.inputs.table()[num:].any(1).all())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_are_read_as_files_are(tmp_path, library):
    frames = pytest.importorskip(library)
    (user, movie), time = (movielens()[RATES][key] for key in ("edge_index", "time"))
    columns = {
        "user_id": [f"u{each}" for each in user.tolist()],
        "item_id": [f"movie {each}" for each in movie.tolist()],
        "timestamp": time.tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    expected = read_interactions(tmp_path / "ratings.csv")
    found = Interactions.from_frame(frames.DataFrame(columns))
    for name in ("user", "item", "time"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    for name in ("user_ids", "item_ids"):
        assert list(getattr(found, name)) == list(getattr(expected, name))
    assert found.item_ids[int(found.item[0])] == columns["item_id"][0]
