# %% [markdown]
# # From a file of interactions to lists
#
# Reads a file, trains LTGNN, says how good the lists are, and makes some. Open it as a
# notebook with [jupytext](https://jupytext.readthedocs.io), or run it as a script:
#
#     python examples/notebooks/file_to_list.py

# %% [markdown]
# ## A file
#
# Any table with a user and an item a row will do; a time or a rating may be there too.
# This one is drawn. Put the path of yours in its place.

# %%
import tempfile
from pathlib import Path

import torch

from ltgnn_pyg import LTGNN, fit
from ltgnn_pyg.datasets import (
    read_interactions,
    split_ratio,
    synthetic_interactions,
)
from ltgnn_pyg.evaluation import evaluate
from ltgnn_pyg.export import to_int8
from ltgnn_pyg.retrieval import similar_items, top_k
from ltgnn_pyg.runs.run_folder import RunFolder
from ltgnn_pyg.scorers.filters import Popularity

torch.manual_seed(0)
work = Path(tempfile.mkdtemp())
path = work / "ratings.csv"
drawn = synthetic_interactions(800, 500, 16_000)
pairs = zip(drawn.user.tolist(), drawn.item.tolist(), strict=True)
rows = (f"user {u},item {i},{time}\n" for time, (u, i) in enumerate(pairs))
path.write_text("user_id,item_id,timestamp\n" + "".join(rows))

# %% [markdown]
# ## Interactions, and what is held out
#
# Ids are numbered once, here. As there is a time, the last interactions of each user
# are held out: the next to last to choose the number of epochs, the last to test.

# %%
interactions = read_interactions(path)
split = split_ratio(interactions)
print(split.order, len(split.train), len(split.val), len(split.test))

# %% [markdown]
# ## Training
#
# `fit` chooses the number of epochs on the validation part, then trains anew on
# training and validation interactions together.

# %%
model = LTGNN(interactions.num_users, interactions.num_items)
report = fit(model, split, max_epochs=3)
print(report)

# %% [markdown]
# ## How good the lists are
#
# All items are ranked, but those that a user is known to have taken. Popularity is the
# least to beat.

# %%
known = split.known  # Training and validation part together.
found = evaluate(report.scorer, split.test, exclude=known)
popular = evaluate(Popularity(known), split.test, exclude=known)
print("LTGNN     ", found)
print("popularity", popular)

# %% [markdown]
# ## A folder, to serve from
#
# It holds what is scored, the ids and the interactions.

# %%
config = {"model": model.settings(), "metrics": found}
RunFolder.write(work / "run", report.scorer, split, config, model)
run = RunFolder.open(work / "run")

# %% [markdown]
# ## Lists
#
# For a user of the file, by its own id; and the items that are most like one.

# %%
user = run.user_ids.index("user 7")
assert user is not None
scores, items = top_k(run.vectors, 5, user=torch.tensor([user]), exclude=run.seen)
for score, item in zip(scores[0].tolist(), items[0].tolist(), strict=True):
    print(f"{score:6.3f}  {run.item_ids[item]}")

_, alike = similar_items(run.vectors, 3, item=items[0, :1])
print(
    "like", run.item_ids[int(items[0, 0])], "are", [run.item_ids[i] for i in alike[0]]
)

# %% [markdown]
# ## Without Python
#
# A single file of a byte a number, which a phone or a page makes lists of: see
# `docs/export.md` and `examples/offline`.

# %%
(file,) = to_int8(run, work)
print(file.name, file.stat().st_size, "bytes")

# %% [markdown]
# The model itself, to train on or to score over another graph, is saved apart.

# %%
model.save_pretrained(work / "model")
again = LTGNN.from_pretrained(work / "model")
vectors = again.scorer(report.graph).vectors
assert torch.equal(vectors.item, report.vectors.item)
