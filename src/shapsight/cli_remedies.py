"""The commands that work on a trained run: diagnose, cure, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from shapsight.cli_options import (
    Device,
    Overwrite,
    RoiSpec,
    Seed,
    command_line,
    exit_codes,
    show,
    takes_data_options,
)

Run = Annotated[Path, typer.Argument(help="A run of debug or train.", show_default=False)]


@takes_data_options
def diagnose(
    run: Run,
    data: Annotated[
        Path | None, typer.Argument(help="Another dataset than the run's own.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for everything found; by default RUN/diagnosis."),
    ] = None,
    images: Annotated[
        int, typer.Option(min=2, help="Held-out images to look at, as many of each environment.")
    ] = 100,
    references: Annotated[
        int, typer.Option(min=1, help="Of the bundle's, how many DeepSHAP compares with.")
    ] = 50,
    outputs: Annotated[str, typer.Option(help="Targets to explain, by comma; by default the first.")] = "",
    only: Annotated[
        str, typer.Option(help="Parts to do, by comma: look, why, strategies, trust; by default all.")
    ] = "",
    roi: RoiSpec = None,
    objects: Annotated[
        str | None,
        typer.Option(help="A COCO file with several categories; by default the ROI's if it is one."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    *,
    how: dict[str, Any],
) -> None:
    """Where does it look, is that why it fails, and can the explanation be trusted? Ends in a verdict.

    A second call goes on where the first stopped. --roi is by default the run's own; --roi none leaves it out.
    """
    from shapsight.studies.diagnose.study import DiagnoseSettings
    from shapsight.studies.diagnose.study import diagnose as diagnose_run
    from shapsight.studies.shared.narrator import Narrator
    from shapsight.studies.shared.reading import DataOptions

    settings = DiagnoseSettings(
        images=images,
        references=references,
        outputs=_by_comma(outputs),
        only=_by_comma(only),
        roi=roi,
        objects=objects,
        seed=seed,
        device=device,
        reading=DataOptions(**how),
    )
    with exit_codes():
        lines = diagnose_run(
            run, data, settings, out, narrator=Narrator(), command=command_line(), overwrite=overwrite
        )
        show(lines)


def cure(
    run: Run,
    tried: Annotated[
        str,
        typer.Option(
            "--try",
            help="Recipes by comma, remedies of one joined by a plus; all for each remedy alone. Remedies: "
            "more-environments, balance, flip, swap-scene, erase-scene, erase-objects, light, color-jitter, noise, "
            "right-reasons.",
        ),
    ] = "flip,erase-scene,swap-scene,right-reasons",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each recipe and turn; three or more.")] = 3,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for tables and report; by default RUN/cure.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="By default the run's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="By default the run's.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=16, help="Pixels squared; by default the run's.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="imagenet, none, or a file; by default the run's.")
    ] = None,
    roi: RoiSpec = None,
    scenes: Annotated[
        Path | None, typer.Option(help="swap-scene: a folder of photographs to paste in as well.")
    ] = None,
    mirrored: Annotated[
        str, typer.Option(help="flip: targets beside x whose sign a mirror image changes, by comma.")
    ] = "",
    strength: Annotated[
        float, typer.Option(min=0, help="right-reasons: weight of the penalty; 1 suits targets in -1 to +1.")
    ] = 1.0,
    references: Annotated[
        int, typer.Option(min=1, help="Training images for DeepSHAP to compare with.")
    ] = 16,
    explain: Annotated[int, typer.Option(min=0, help="Images explained in each unseen environment.")] = 4,
    device: Device = "auto",
) -> None:
    """Try remedies with the same budget, each judged where it was not trained, and recommend one.

    Environments take turns: a run of one environment is trained on each of them in turn and judged on the others; a
    run of several leaves one out in turn. A second call goes on where the first stopped.
    """
    from shapsight.studies.cure.study import CureSettings
    from shapsight.studies.cure.study import cure as cure_run
    from shapsight.studies.shared.narrator import Narrator

    settings = CureSettings(
        recipes=_by_comma(tried),
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        weights=weights,
        roi=roi,
        scenes=None if scenes is None else str(scenes),
        mirrored=_by_comma(mirrored),
        strength=strength,
        references=references,
        explain=explain,
        device=device,
    )
    with exit_codes():
        show(cure_run(run, settings, out, narrator=Narrator(), command=command_line()))


def compare(
    first: Annotated[Path, typer.Argument(help="A run of debug or train.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another run, of the same targets.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for tables, explanations and report.html.")
    ] = Path("runs/compared"),
    roi: RoiSpec = None,
    explain: Annotated[int, typer.Option(min=1, help="Images explained in each environment.")] = 6,
    names: Annotated[
        str, typer.Option(help="What the two are called, by comma; by default their folders.")
    ] = "",
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Two models on the same images: errors and their change, what the scene contributes, explanations on one scale.

    The images are those of the first run's dataset that neither model was trained on.
    """
    from shapsight.studies.compare.study import CompareSettings
    from shapsight.studies.compare.study import compare as compare_runs
    from shapsight.studies.shared.narrator import Narrator

    settings = CompareSettings(roi=roi, explain=explain, names=_by_comma(names), seed=seed)
    with exit_codes():
        show(
            compare_runs(
                first,
                second,
                out,
                settings,
                narrator=Narrator(),
                command=command_line(),
                overwrite=overwrite,
            )
        )


def _by_comma(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def add_commands(app: typer.Typer) -> None:
    """Put these commands into the command line."""
    app.command(
        epilog="Examples: shapsight diagnose runs/lockers --roi below:112   |   "
        "shapsight diagnose runs/lockers new_photos --images 300 --only look,why --out runs/why"
    )(diagnose)
    app.command(
        epilog="Examples: shapsight cure runs/lockers --try flip,swap-scene,flip+swap-scene --seeds 3   |   "
        "shapsight cure runs/lockers --try all --scenes photographs --roi below:112 --out runs/cure"
    )(cure)
    app.command(
        epilog="Example: shapsight compare runs/lockers runs/all_scenes --roi below:112 --out runs/compared"
    )(compare)
