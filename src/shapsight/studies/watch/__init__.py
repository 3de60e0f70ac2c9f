"""A model watched while it is trained: its errors, the scene's share and heatmaps, every so many epochs."""
