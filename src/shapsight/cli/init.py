"""`shapsight init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from shapsight.cli.command import app, exit_codes
from shapsight.cli.project_file import FILE
from shapsight.errors import RunError

TEXT = """\
# Read by every shapsight command that is started in this folder; what is typed on the command line goes first.
# Paths are relative to this folder. Every option of `shapsight COMMAND --help` can stand here, without the hyphens
# before it.

{data}
# What the model should use: below:ROW, a folder of masks, a polygon file.
# roi = "below:112"

# Your own model in place of a run, module:name of a Bundle or of a function that makes one.
# model = "my_code:load_bundle"

[train]
{train_on}
# arch = "resnet18"
# epochs = 10
# image-size = 224

[diagnose]
# images = 100

[cure]
# try = ["flip", "swap-scene", "flip+swap-scene"]
# seeds = 3
"""


@app.command(epilog="Examples: shapsight init photos   |   shapsight init")
def init(
    data: Annotated[
        Path | None, typer.Argument(help="Your dataset, as for train: the file then says what is in it.")
    ] = None,
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help=f"Replace an earlier {FILE}.")] = False,
) -> None:
    """Write shapsight.toml, a commented file of options that all commands in this folder read."""
    with exit_codes():
        file = Path(FILE)
        if file.exists() and not overwrite:
            raise RunError(f"{FILE} is there already; --overwrite replaces it")
        text = project_text(data)
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise RunError(f"{FILE} cannot be written: {error.strerror or error}") from error
        typer.echo(
            f"{FILE} is written. Look through it, then: shapsight {'train --out runs/first' if data else 'train'}"
        )


def project_text(data: Path | None) -> str:
    """The file's text; of a dataset it says what was found there.

    Raises `DataError` for a dataset that cannot be read.
    """
    if data is None:
        lines = ["# Your dataset, as for train.", '# data = "photos"']
        return TEXT.format(data="\n".join(lines) + "\n", train_on='# train-on = "room_1"')
    from shapsight.data.readers import read_dataset

    manifest = read_dataset(data)
    sizes = manifest.table["environment"].value_counts(sort=False)
    said = ", ".join(f"{name} {size}" for name, size in sizes.items())
    what = f"{manifest.task} of {', '.join(manifest.output_names[:6])}"
    lines = [f"# {len(manifest)} images, {what}; environments: {said}.", f"data = {_quoted(data.as_posix())}"]
    first = _quoted(next(iter(sizes.index), ""))
    train_on = f"# The others stay unseen.\n{'train-on = ' if len(sizes) > 1 else '# train-on = '}{first}"
    return TEXT.format(data="\n".join(lines) + "\n", train_on=train_on)


def _quoted(text: Any) -> str:
    """As a TOML text: the escapes of JSON are among those of TOML."""
    import json

    return json.dumps(str(text), ensure_ascii=False)
