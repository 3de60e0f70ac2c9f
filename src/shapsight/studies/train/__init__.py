"""A model, and its errors in every environment."""
