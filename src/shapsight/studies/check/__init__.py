"""What is odd about a dataset."""
