"""Jobs: work that takes a while and leaves a run folder behind."""
