r"""The command line, :obj:`ltgnn VERB ...`: a file a verb."""
