"""Names that users of other libraries know, on top of our explainers."""
