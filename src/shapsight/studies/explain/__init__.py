"""Explanations of image files."""
