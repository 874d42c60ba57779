def pairs_of(out):
    """The pairs of interactions, by their ids outside."""
    user, item = out.user.numpy(), out.item.numpy()
    user = user if out.user_ids is None else out.user_ids[user]
    item = item if out.item_ids is None else out.item_ids[item]
    return list(zip(user.tolist(), item.tolist(), strict=True))
