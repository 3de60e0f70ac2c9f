"""Networks: building them, training them, and bundling them with all that is needed to use them again."""
