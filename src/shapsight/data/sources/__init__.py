"""Where datasets come from: folders of images, tables, IDX files, Hugging Face folders."""
