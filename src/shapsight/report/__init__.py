"""Pictures and pages: what a person sees of a run. Import `plots` or `page`; this package itself loads nothing."""
