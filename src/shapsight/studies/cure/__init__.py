"""Remedies tried with the same budget, and one recommended."""
