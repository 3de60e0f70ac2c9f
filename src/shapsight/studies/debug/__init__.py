"""From a folder of images to a report."""
