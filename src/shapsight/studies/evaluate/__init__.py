"""The errors of a trained model."""
