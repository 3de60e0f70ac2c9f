"""Pictures: arrays and tables in, matplotlib figures out; below everything that shows something."""
