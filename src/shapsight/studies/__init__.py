"""One folder a study: a question asked of a bundle and a dataset, answered by facts, tables, pictures and a page."""
