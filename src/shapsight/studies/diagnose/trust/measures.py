"""The measures of trust, run on a few images of a case: each a step that leaves its tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from shapsight.attribution.deep import DeepShap
from shapsight.attribution.explain import EightBitModel
from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.attribution.gradient import GradientShap
from shapsight.attribution.partition import PartitionShap
from shapsight.attribution.regions import RegionShap
from shapsight.diagnosis.faithfulness.agreement import against_exact, agreement, exact_agreement
from shapsight.diagnosis.faithfulness.completeness import completeness
from shapsight.diagnosis.faithfulness.curves import Order, games_of, removal_curves
from shapsight.diagnosis.faithfulness.infidelity import hidden_effects, infidelity_per_image
from shapsight.diagnosis.faithfulness.randomisation import randomisation, randomised_models
from shapsight.diagnosis.faithfulness.sensitivity import max_sensitivity, uniform_noise
from shapsight.errors import ExplainerError, ShapsightError
from shapsight.models.bundle import Bundle
from shapsight.studies.diagnose.case import Case, Report
from shapsight.studies.shared.exact_contributions import contributions_of
from shapsight.studies.shared.sampling import spread_over_environments

# Floating-point operations that exact values may take in all: some 25 seconds on two cores.
EXACT_WORK = 9e12
LEAST_WORK = 2e8  # of a forward pass: that of a small network costs more than its operations
# What exact values divide an image into: the first that can be afforded.
GRIDS = ((3, 4), (2, 5), (2, 4), (2, 3))
ABSENT = 2  # references that stand for what is hidden, where values against references are tested
COARSE = 7  # blocks along a side for comparing methods: what PartitionSHAP resolves with its evaluations


@dataclass(frozen=True)
class Effort:
    """How much is measured. The defaults take as long as DeepSHAP of some 40 images with 50 references.

    Attributes
        images: for the curves and the hidden rectangles; fewer where more than two outputs are explained, so that
            images times outputs stay about as many.
        few: images that are explained again: with noise, for randomised models, by other methods, exactly.
        steps: of a curve. perturbations: rectangles hidden in each image.
        references: of the explanations made again. noises: for each image, of `radius` (white is 1).
        layers: steps of the randomisation, evenly over the model's layers.
        samples: of GradientSHAP, for each image. evaluations: of PartitionSHAP.
        regions: for the exact values, 12, 10, 8 or 6; None for the most that the model's cost allows.
        masker: what stands where the curves hide blocks; None for a blur over half the image. Inpainting leaves fewer
            edges when little is hidden, but paints the whole image with the few blocks that insertion shows. What is
            compared with the attributions as values (other methods, exact values) hides behind the references, since
            that is what "absent" means to them.

    Raises `ExplainerError` for less than one of anything, and for another number of regions.
    """

    images: int = 8
    few: int = 4
    steps: int = 8
    perturbations: int = 16
    references: int = 8
    noises: int = 3
    radius: float = 0.02
    layers: int = 6
    samples: int = 24
    evaluations: int = 80
    regions: int | None = None
    masker: str | None = None

    def __post_init__(self) -> None:
        for name, amount in asdict(self).items():
            if isinstance(amount, int | float) and not amount > 0:
                raise ExplainerError(f"{name}={amount}: there must be some of it")
        known = [rows * columns for rows, columns in GRIDS]
        if self.regions not in (None, *known):
            raise ExplainerError(f"regions={self.regions} is not one of {', '.join(map(str, known))}")


@dataclass(frozen=True, eq=False)
class Subject:
    """Some images of a case, their explanation, and the model that says of 8-bit images what it says."""

    case: Case
    positions: Int[np.ndarray, "images"]
    bundle: Bundle
    rows: pd.DataFrame
    images: UInt8[Tensor, "images 3 size size"]
    explanation: Explanation
    references: UInt8[Tensor, "references 3 size size"]
    masker: str
    seed: int

    @classmethod
    def of(cls, case: Case, effort: Effort) -> Subject:
        """Images of all environments in turn, the same ones for every measure."""
        outputs = case.explanation.values.shape[1]
        count = max(effort.few, min(effort.images, 2 * effort.images // outputs))
        rows = spread_over_environments(case.rows["environment"].to_numpy(str), count, case.seed)
        references = case.bundle.references
        half = max(2, case.images.shape[-1] // 2)
        kept = (
            np.linspace(0, len(references) - 1, min(effort.references, len(references))).round().astype(int)
        )
        return cls(
            case,
            rows,
            case.bundle,
            case.rows.iloc[rows][["path", "environment"]]
            .reset_index(drop=True)
            .rename_axis("image")
            .reset_index(),
            case.images[torch.from_numpy(rows)],
            case.explanation.select(images=rows.tolist()),
            references[torch.from_numpy(kept)],
            effort.masker or f"blur({half},{half})",
            case.seed,
        )

    def first(self, count: int) -> Subject:
        """The same with fewer images."""
        kept = min(count, len(self.images))
        explanation = self.explanation.select(images=slice(kept))
        return replace(
            self,
            positions=self.positions[:kept],
            rows=self.rows[:kept],
            images=self.images[:kept],
            explanation=explanation,
        )

    @cached_property
    def model(self) -> nn.Module:
        """The network for 8-bit images, which maskers work on."""
        return EightBitModel(self.bundle.model, self.bundle.card.mean, self.bundle.card.std).eval()

    @property
    def columns(self) -> Int[Tensor, "images outputs"]:
        """The outputs that are explained, by number: the same ones in every explanation that is made again."""
        return self.explanation.output_index.cpu()

    def prepared(self, images: Tensor) -> Float[Tensor, "images 3 size size"]:
        """Images as the network takes them, where it is."""
        return self.bundle.prepare(images.to(next(self.bundle.model.parameters()).device))

    def deep(self, model: nn.Module, images: Float[Tensor, "images 3 size size"]) -> Explanation:
        """DeepSHAP with few references, of any model and of images that are prepared."""
        explainer = DeepShap(
            model, self.prepared(self.references), output_names=self.bundle.card.output_names
        )
        return explainer(images, self.columns, on_gap="ignore", show=self.images.float() / 255)


@dataclass
class Measured:
    """What the steps leave: tables by name, explanations for pictures, and what could not be done."""

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    randomised: dict[str, Explanation] = field(default_factory=dict)
    methods: dict[str, Explanation] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def measure_curves(subject: Subject, effort: Effort, into: Measured, report: Report) -> None:
    """Insertion, deletion and pixel flipping, beside random orders."""
    is_regression = not subject.bundle.card.class_names
    games = games_of(subject.model, subject.images, subject.masker)
    orders: tuple[Order, ...] = ("value", "random", "size") if is_regression else ("value", "random")
    parts = []
    for done, order in enumerate(orders, start=1):
        curves = removal_curves(
            games, subject.explanation, order=order, steps=effort.steps, seed=subject.seed
        )
        parts.append(curves)
        report(done, len(orders))
    into.tables["curves"] = _with_moved(pd.concat(parts, ignore_index=True), is_regression)


def _with_moved(curves: pd.DataFrame, is_regression: bool) -> pd.DataFrame:
    """Beside the curves how far the prediction has moved: its distance, or by how much the probability fell."""
    if is_regression:
        return curves.drop(columns=["probability"]).assign(moved=curves["distance"])
    whole = curves[(curves["curve"] == "deletion") & (curves["share"] == 0) & (curves["order"] == "value")]
    full = whole.set_index(["image", "output"])["probability"].rename("full")
    joined = curves.join(full, on=["image", "output"])
    return curves.assign(moved=joined["full"] - joined["probability"])


def measure_infidelity(subject: Subject, effort: Effort, into: Measured, report: Report) -> None:
    """Random rectangles hidden behind references, which is what "absent" means to the values."""
    games = games_of(subject.model, subject.images, subject.references[:ABSENT])
    effects = hidden_effects(
        games, subject.explanation, perturbations=effort.perturbations, seed=subject.seed
    )
    into.tables |= {"hidden": effects, "infidelity": infidelity_per_image(effects)}
    report(1, 1)


def measure_sensitivity(subject: Subject, effort: Effort, into: Measured, report: Report) -> None:
    """Explanations of images with a little noise."""
    images = subject.prepared(subject.images)
    shape = (1, -1, 1, 1)
    radius = effort.radius / torch.tensor(subject.bundle.card.std, device=images.device).view(shape)
    noises = uniform_noise(images, radius, effort.noises, seed=subject.seed)
    moved: list[Explanation] = []

    def explain(given: Tensor) -> Explanation:
        moved.append(subject.deep(subject.bundle.model, given))
        report(len(moved), effort.noises + 1)
        return moved[-1]

    pixels = max_sensitivity(explain, images, noises)
    # The same explanations again, summed over blocks.
    again = iter(moved[1:])
    blocks = max_sensitivity(
        lambda _: next(again), images, noises, block=_side(subject, 14), original=moved[0]
    )
    into.tables["sensitivity"] = _per_pair(subject).assign(
        max_sensitivity=pixels.flatten().cpu().numpy(), of_blocks=blocks.flatten().cpu().numpy()
    )


def measure_randomisation(subject: Subject, effort: Effort, into: Measured, report: Report) -> None:
    """Explanations of the model while its layers lose what they learned."""
    images = subject.prepared(subject.images)
    original = subject.deep(subject.bundle.model, images)
    report(1, effort.layers + 1)
    made = 1

    def explain(model: nn.Module) -> Explanation:
        nonlocal made
        made += 1
        explanation = subject.deep(model, images)
        report(made, effort.layers + 1)
        return explanation

    models = randomised_models(subject.bundle.model, images[:1], steps=effort.layers, seed=subject.seed)
    table, explanations = randomisation(explain, models, original)
    into.tables["randomisation"] = table
    into.randomised = {"trained": original, **explanations}


def measure_agreement(subject: Subject, effort: Effort, into: Measured, report: Report) -> None:
    """The same images explained by methods that work differently."""
    names = subject.bundle.card.output_names
    gradient = GradientShap(
        subject.bundle.model, subject.prepared(subject.references), samples=effort.samples, seed=subject.seed
    )(subject.prepared(subject.images), subject.columns, on_gap="ignore")
    report(1, 1 + len(subject.images))
    partition = PartitionShap(
        subject.model, subject.references, max_evals=effort.evaluations, output_names=names, seed=subject.seed
    )
    found = []
    for number, columns in enumerate(
        subject.columns.tolist()
    ):  # it takes the same outputs for all images of a call
        found.append(partition(subject.images[number : number + 1], columns))
        report(1 + number, 1 + len(subject.images))
    into.methods = {
        "DeepSHAP": subject.explanation,
        "GradientSHAP": gradient,
        "PartitionSHAP": Explanation.concatenate(found),
    }
    into.tables["agreement"] = agreement(into.methods, block=_side(subject, COARSE))


def measure_exactly(subject: Subject, effort: Effort, into: Measured, report: Report) -> None:
    """Exact Shapley values of a few regions, from all their coalitions."""
    versions = len(subject.references) + 1  # of each coalition: behind every reference, and behind the masker
    work = versions * max(LEAST_WORK, work_of(subject.model, subject.images[:1]))
    grid, count = affordable(work, len(subject.images), effort.regions)
    some = subject.first(count)

    def exact_behind(masker: Any, before: int) -> RegionValues:
        def done(asked: int, total: int) -> None:
            report(before * total + (versions - 1 if before == 0 else 1) * asked, versions * total)

        return RegionShap(some.model, masker, grid).by_region(some.images, some.columns, progress=done)

    exact = exact_behind(some.references, 0)
    table = against_exact(some.explanation, exact)
    into.tables |= {"regions": table, "exact": exact_agreement(table)}
    behind = exact_behind(some.masker, versions - 1)
    into.tables["absence"] = exact_agreement(
        table.assign(attribution=behind.values.cpu().double().numpy().ravel())
    )
    regions = grid[0] * grid[1]
    if effort.regions is None and regions < 12:
        into.left_out.append(
            f"Exact Shapley values are of {regions} regions: of 12 they take {4096 * versions:,} forward passes an "
            "image, which would take long. regions=12 computes them."
        )


def measure_parts(subject: Subject, effort: Effort, into: Measured, report: Report) -> None:
    """Exact Shapley values of scene and region as players, behind all references of the explanation."""
    case = subject.case
    if case.masks is None:
        return
    found = contributions_of(
        subject.explanation,
        subject.bundle,
        case.manifest,
        case.rows.iloc[subject.positions],
        subject.images,
        case.masks[subject.positions],
        progress=report,
        seed=subject.seed,
    )
    if found is not None:
        into.tables["parts"] = found.agreement


def affordable(work: float, images: int, regions: int | None = None) -> tuple[tuple[int, int], int]:
    """A grid and a number of images whose exact values the model's cost allows, the finest grid first.

    work: floating-point operations of one forward pass.
    """
    for grid in GRIDS:
        players = grid[0] * grid[1]
        if regions is not None and players != regions:
            continue
        for count in range(images, 0 if images == 1 else 1, -1):
            if regions is not None or count * 2**players * work <= EXACT_WORK:
                return grid, count
    return GRIDS[-1], min(images, 2)


def work_of(model: nn.Module, image: Tensor) -> float:
    """Floating-point operations of one forward pass, as PyTorch counts them: the same on every machine."""
    counter = FlopCounterMode(display=False)
    device = next(model.parameters()).device
    with torch.no_grad(), counter:
        model(image.to(device))
    return float(counter.get_total_flops())


def _side(subject: Subject, blocks: int) -> int:
    return max(1, round(subject.images.shape[-1] / blocks))


def _per_pair(subject: Subject) -> pd.DataFrame:
    images, outputs = subject.columns.shape
    names = [name for row in subject.explanation.names() for name in row]
    return pd.DataFrame({"image": np.repeat(np.arange(images), outputs), "output": names})


@dataclass(frozen=True)
class Step:
    """One measure: whether a few of the images are enough, and its cost.

    cost: in tenths of DeepSHAP of an image with 50 references, as measured on ResNet-18 at 224 × 224.
    """

    name: str
    run: Callable[[Subject, Effort, Measured, Report], None]
    is_for_few: bool
    cost: int


STEPS = (
    Step("Insertion, deletion and pixel flipping", measure_curves, False, 55),
    Step("Infidelity", measure_infidelity, False, 37),
    Step("Max-sensitivity", measure_sensitivity, True, 33),
    Step("Similarity for randomised layers", measure_randomisation, True, 64),
    Step("Agreement of methods", measure_agreement, True, 350),
    Step("Agreement with exact Shapley values", measure_exactly, True, 320),
    Step("Exact Shapley values of scene and region", measure_parts, False, 60),
)


def measure(case: Case, subject: Subject, effort: Effort, report: Report) -> Measured:
    """All measures, one after another, on the same images."""
    measured = Measured(tables={"completeness": completeness(case.explanation)})
    total, before = sum(step.cost for step in STEPS), 0
    for step in STEPS:

        def within(done: int, of: int, *, before: int = before, cost: int = step.cost) -> None:
            report(before + round(cost * done / max(of, 1)), total)

        try:
            step.run(subject.first(effort.few) if step.is_for_few else subject, effort, measured, within)
        except ShapsightError as error:  # one measure that cannot be taken does not lose the others
            measured.left_out.append(f"{step.name} could not be measured: {error}")
        before += step.cost
        report(before, total)
    return measured
