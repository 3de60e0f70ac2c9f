"""What is wrong with a model, with the evidence for it."""
