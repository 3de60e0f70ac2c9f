"""What the parts come to."""
