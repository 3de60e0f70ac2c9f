"""Where a model looks, whether that is why it fails, and whether to believe it."""
