"""`shapsight store`: how far a store is, whether it is whole, several into one, and out for other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from shapsight.cli.command import app, exit_codes, rows_of, show, written_json

store = typer.Typer(
    help="Look after a store of explanations that explain --store made.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(store, name="store")
Where = Annotated[Path, typer.Argument(help="A store, such as explanations.zarr.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the numbers as one JSON object.")]


def _tell(lines: Sequence[str], facts: Mapping[str, Any], as_json: bool) -> None:
    typer.echo(written_json({**facts, "lines": lines})) if as_json else show(lines)


@store.command(epilog="Example: shapsight store status explanations.zarr")
def status(path: Where, as_json: AsJson = False) -> None:
    """How many images are finished, in which environments, how large and how exact."""
    with exit_codes():
        from shapsight.store.status import status as status_of
        from shapsight.store.store import open_store

        opened = open_store(path)
        found = status_of(opened)
        share = f" ({found.finished / found.planned:.0%})" if found.planned else ""
        lines = [
            f"{found.finished} of {found.planned} images are finished{share}: {opened.card.method}, "
            f"{opened.card.kind}, {opened.card.dtype}, model {opened.card.model_name}",
            f"explained: {', '.join(found.explained) or 'nothing yet'}",
            f"{found.bytes / 1e6:.1f} MB, {found.bytes_per_image / 1e3:.1f} kB an image; largest completeness gap "
            f"{found.largest_gap:.1e}, values off by up to {found.stored_error:.1e} of the largest of their image",
        ]
        for row in found.environments.to_dict("records"):
            error = f", mean error {row['error']:.4g}" if "error" in row else ""
            lines.append(f"  {row['environment']}: {row['finished']}{error}")
        if found.skipped:
            lines.append(f"{found.skipped} images could not be used: {path / 'table' / 'skipped.csv'}")
        facts = vars(found) | {"bytes_per_image": found.bytes_per_image}
        _tell(lines, facts | {"environments": rows_of(found.environments)}, as_json)


@store.command(epilog="Example: shapsight store verify explanations.zarr --mend")
def verify(
    path: Where,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend", help="Take out what is damaged, so that explain makes it anew, and half-written files."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every image and check its sums; exit code 1 where anything is damaged."""
    with exit_codes():
        from shapsight.store.verify import verify as verified

        found = verified(path, mend=mend)
        lines = [f"{found.images} images read, {len(found.damaged)} of them damaged"]
        for row in found.damaged.head(20).to_dict("records"):
            lines.append(f"  {row['path'] or 'block ' + str(row['block'])}: {row['reason']}")
        if found.parts:
            gone = "deleted" if mend else "harmless; --mend deletes them"
            lines.append(f"{len(found.parts)} half-written files of a process that was killed ({gone})")
        if mend and not found.is_whole:
            lines.append("taken out: run the explain command again to make them anew")
        facts = {"images": found.images, "is_whole": found.is_whole, "parts": found.parts}
        _tell(lines, facts | {"damaged": rows_of(found.damaged)}, as_json)
        if not found.is_whole:
            raise typer.Exit(1)


@store.command(epilog="Example: shapsight store merge all.zarr machine_1.zarr machine_2.zarr")
def merge(
    target: Annotated[Path, typer.Argument(help="The store to put them into; made if there is none.")],
    sources: Annotated[list[Path], typer.Argument(help="The stores to take from; they stay.")],
    as_json: AsJson = False,
) -> None:
    """Put the finished images of several stores of the same settings into one."""
    with exit_codes():
        from shapsight.store.merge import merge as merged

        found = merged(target, sources)
        lines = [f"{found.added} images added to {target}, {found.known} were in it already"]
        if found.differing:
            some = ", ".join(found.differing[:4])
            lines.append(
                f"{len(found.differing)} of these are other pictures there, and stay as they are: {some}"
            )
        _tell(lines, vars(found), as_json)


@store.command(epilog="Example: shapsight store export explanations.zarr --as fiftyone --out heatmaps")
def export(
    path: Where,
    kind: Annotated[str, typer.Option("--as", help="shap, captum, fiftyone, png or parquet.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="An empty or new folder.")],
) -> None:
    """Write the explanations in the form of another tool."""
    with exit_codes():
        from shapsight.store.export import export as exported
        from shapsight.store.store import open_store

        files = exported(open_store(path), kind, out)
        show([f"{len(files)} files written into {out}"])
