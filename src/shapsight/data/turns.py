"""Taking turns: which environments are trained on and which are left to judge by, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shapsight.data.manifest import Manifest
from shapsight.data.splits import draw_splits
from shapsight.errors import DataError


@dataclass(frozen=True)
class Turns:
    """What is trained on in each turn; a turn is judged by the environments that it leaves out.

        take_turns(["a", "b", "c"], trained_on=["a"])
        # plain: (a), (b), (c): one is trained on, the others are unseen
        # wider: (b, c), (a, c), (a, b): every turn leaves one environment out

    Attributes
        plain: of a remedy that adds no environments. wider: of one that does; empty where there is nothing to add.
    """

    plain: tuple[tuple[str, ...], ...]
    wider: tuple[tuple[str, ...], ...]


def take_turns(environments: Sequence[str], trained_on: Sequence[str]) -> Turns:
    """Turns like the one that a model was trained in.

    A model of one environment: each environment in turn is the one trained on. A model of several: each environment in
    turn is the one left out. Raises `DataError` for a single environment.
    """
    if len(environments) < 2:
        raise DataError(
            "there is one environment only, so nothing unseen is left to judge a remedy by: add images of another"
        )
    without = tuple(tuple(name for name in environments if name != left_out) for left_out in environments)
    if len(trained_on) > 1:
        return Turns(plain=without, wider=())
    wider = without if len(environments) > 2 else ()
    return Turns(plain=tuple((name,) for name in environments), wider=wider)


def in_turn(
    manifest: Manifest, trained_on: Sequence[str], *, seed: int = 0, validation_share: float = 0.2
) -> Manifest:
    """The same images with other environments trained on; the others become unseen.

    An environment's validation images depend on the seed only, not on the turn.
    """
    table = manifest.table
    splits = draw_splits(
        table.drop(columns="split"),
        trained_on,
        validation_share=validation_share,
        test_share=0.0,
        seed=seed,
    )
    return replace(manifest, table=table.assign(split=splits), train_on=tuple(trained_on))
