r"""Files and frames to interactions, by one way of reading."""
