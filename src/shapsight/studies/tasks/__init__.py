"""What differs between the two tasks, regression and classification."""
