"""Explanations of whole data sets, on disk: a Zarr store that grows block by block and is read lazily."""
