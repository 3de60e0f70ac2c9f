"""Tutorials as pages: each docs/tutorials/*.py is run as a notebook, and what it prints and draws becomes a page."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jupytext
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbconvert import MarkdownExporter, NotebookExporter

KEPT = "notebooks"  # beside the site: what was run, by the hash of its text, so that a build runs what has changed


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page, the pictures and the notebook of each tutorial."""
    root = Path(config.docs_dir)
    for source in sorted((root / "tutorials").glob("*.py")):
        name = f"tutorials/{source.stem}"
        notebook = executed(source, Path(config.site_dir).parent / KEPT)
        page, found = MarkdownExporter().from_notebook_node(
            notebook, resources={"unique_key": source.stem, "output_files_dir": f"{source.stem}_files"}
        )
        download = f"\n[This page as a notebook]({source.stem}.ipynb){{ download }}\n"
        for path, content in {
            f"{name}.md": page + download,
            f"{name}.ipynb": NotebookExporter().from_notebook_node(notebook)[0],
            **{f"tutorials/{file}": data for file, data in found["outputs"].items()},
        }.items():
            files.append(File.generated(config, path, content=content))
    return files


def executed(source: Path, kept: Path) -> Any:
    """The notebook with its outputs; run in an empty folder, so that it needs nothing of ours but the package."""
    text = source.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    file = kept / f"{source.stem}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.ipynb"
    if file.is_file():
        return jupytext.read(file)
    folder = kept / source.stem
    shutil.rmtree(folder, ignore_errors=True)  # what an earlier text of it left there
    folder.mkdir(parents=True)
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook.metadata.update(metadata)
    NotebookClient(
        notebook, timeout=600, coalesce_streams=True, resources={"metadata": {"path": str(folder)}}
    ).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    file.write_text(json.dumps(notebook, indent=1), encoding="utf-8")
    return notebook
