"""A dataset is a table: one row an image."""
