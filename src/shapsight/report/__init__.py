"""The page: a report as data, and its templates. This package itself loads nothing."""
