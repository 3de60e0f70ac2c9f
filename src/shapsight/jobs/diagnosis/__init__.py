"""The parts of a diagnosis: each a function of a case that gives its findings."""
