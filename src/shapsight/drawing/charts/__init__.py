"""Charts of tables by Vega-Lite: every function returns an altair chart, which `files.svg` makes part of a page."""
