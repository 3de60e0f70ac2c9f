"""Explanations of whole data sets, into a store."""
