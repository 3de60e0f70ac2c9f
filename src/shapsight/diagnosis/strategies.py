"""One strategy or several: heatmaps that are alike, found without being told what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.linalg import eigh
from torch import Tensor

from shapsight.diagnosis.cell_shares import cell_shares
from shapsight.diagnosis.groups import generator_of
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.errors import DataError, MissingDependency

CELLS = 8
COMPONENTS = 10
MOST = 8
FEWEST_IMAGES = 12  # below that a spectrum says nothing
CLEAR_GAP = 0.5
NEIGHBOURS = 1.5  # times the square root of the number of images
CLOUDS = 20
NONE = 0  # the strategy of an image without attribution


@dataclass(frozen=True, eq=False)
class Strategies:
    """Groups of images that a model looks at alike.

    Attributes
        labels: the strategy of each image, from 1; 0 for an image without attribution.
        count: how many there are.
        features: heatmaps as they were compared, in principal components; NaN where there is no attribution.
        embedding: two dimensions to draw them in (t-SNE); NaN where there is no attribution.
        eigenvalues: the smallest of the graph's normalised Laplacian: as many are near 0 as there are groups.
        one_cloud: the second eigenvalue that one in twenty clouds without groups falls below.
    """

    labels: Int[ndarray, "images"]
    count: int
    features: Float[ndarray, "images components"]
    embedding: Float[ndarray, "images 2"]
    eigenvalues: Float[ndarray, "smallest"]
    one_cloud: float

    def renumbered(self, order: Sequence[int]) -> Strategies:
        """The same with the strategies in another order, counted from 1 again."""
        new = {NONE: NONE} | {old: number for number, old in enumerate(order, start=1)}
        labels = np.array([new[int(label)] for label in self.labels], dtype=int)
        return Strategies(labels, self.count, self.features, self.embedding, self.eigenvalues, self.one_cloud)

    def typical(self, strategy: int, count: int) -> Int[ndarray, "typical"]:
        """The images nearest to the middle of a strategy, the most typical first."""
        members = np.flatnonzero(self.labels == strategy)
        far = np.linalg.norm(self.features[members] - self.features[members].mean(0), axis=1)
        return members[np.argsort(far, kind="stable")][:count]


def find_strategies(
    heatmaps: Float[Tensor, "images height width"] | Float[ndarray, "images height width"],
    *,
    clusters: int | None = None,
    cells: int = CELLS,
    seed: int = 0,
) -> Strategies:
    """Cluster heatmaps by where their attribution lies; the number of clusters comes from their spectrum.

        found = find_strategies(explanation.heatmap()[:, 0])
        found.count, found.labels, found.typical(1, 4)

    Each heatmap becomes the shares of absolute attribution in `cells` × `cells` cells, reduced to ten principal
    components. The graph of the 1.5 √images nearest neighbours is cut by spectral clustering; groups much smaller than
    that are hardly seen. Where `clusters` is not given, it is the k of 2 to 8 with the largest relative eigengap
    `1 - λ_k / λ_(k+1)`; and 1 if that gap is below 0.5, or if λ_2 is no smaller than what one in twenty clouds of the
    same spread without clusters (normal) reach. Attribution that moves gradually, from left to right with the target,
    may be cut in two: compare the strategies' targets.

    Raises `DataError` for fewer than 12 images with attribution, or fewer images than clusters; `MissingDependency`
    without scikit-learn.
    Sources: Lapuschkin et al. 2019 (spectral relevance analysis); von Luxburg 2007, section 8.3 (eigengap).
    """
    shares = cell_shares(heatmaps, cells).reshape(len(heatmaps), -1)
    is_known = ~np.isnan(shares).any(1)
    images = int(is_known.sum())
    if clusters is not None and not 1 <= clusters <= images:
        raise DataError(f"{clusters} clusters cannot be made of {images} images with attribution")
    if images < FEWEST_IMAGES:
        raise DataError(
            f"{images} images with attribution are too few to look for strategies: it takes {FEWEST_IMAGES} or more"
        )
    reduced = _reduced(shares[is_known])
    neighbours = min(round(NEIGHBOURS * images**0.5), images - 1)
    values, vectors = _spectrum(reduced, neighbours)
    one_cloud = _of_one_cloud(reduced, neighbours, seed)
    count = clusters or number_of_clusters(values, one_cloud)
    labels = np.full(len(shares), NONE)
    labels[is_known] = 1 + _cut(vectors, count, seed)
    features, embedding = _filled(reduced, is_known), _filled(_embedded(reduced, seed), is_known)
    return Strategies(labels, count, features, embedding, values, one_cloud)


def number_of_clusters(eigenvalues: Float[ndarray, "smallest"], one_cloud: float) -> int:
    """The k after which the eigenvalues rise most, relative to where they rise to; 1 without a clear rise."""
    ends = np.maximum(eigenvalues, 0)
    rise = np.divide(ends[2:] - ends[1:-1], ends[2:], out=np.zeros(len(ends) - 2), where=ends[2:] > 1e-9)
    if ends[1] >= one_cloud or rise.max(initial=0) < CLEAR_GAP:
        return 1
    return 2 + int(np.argmax(rise))


def strategy_table(
    strategies: Strategies,
    rows: pd.DataFrame,
    errors: Float[ndarray, "images"],
    is_seen: Bool[ndarray, "images"],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Each strategy's images, environments and error; that whose error jumps most in unseen environments comes first.

        strategy_table(found, rows, squared_errors, rows["environment"].isin(manifest.train_on))

    Columns: `strategy, images, share, environments, error, error_low, error_high` (bootstrap interval over images),
    `seen_images, seen_error, unseen_images, unseen_error`, and `jump = unseen_error / seen_error`, where a strategy
    with fewer than three seen images is compared with all seen images; NaN without unseen or seen ones.
    """
    records = []
    known = strategies.labels != NONE
    everywhere = _mean(errors[known & is_seen])
    for strategy in range(1, strategies.count + 1):
        members = strategies.labels == strategy
        seen, unseen = errors[members & is_seen], errors[members & ~is_seen]
        usual = _mean(seen) if len(seen) >= 3 else everywhere
        mean, low, high = mean_with_interval(errors[members], generator_of(str(strategy), "strategy", seed))
        jump = _mean(unseen) / usual if len(unseen) and usual > 0 else np.nan
        counts = rows["environment"][members].value_counts()
        records.append(
            {
                "strategy": strategy,
                "images": int(members.sum()),
                "share": float(members.sum() / known.sum()),
                "environments": ", ".join(f"{name} {number}" for name, number in counts.items()),
                "error": mean,
                "error_low": low,
                "error_high": high,
                "seen_images": len(seen),
                "seen_error": _mean(seen),
                "unseen_images": len(unseen),
                "unseen_error": _mean(unseen),
                "jump": jump,
            }
        )
    table = pd.DataFrame.from_records(records)
    return table.sort_values(["jump", "images"], ascending=False, na_position="last", ignore_index=True)


def _mean(values: Float[ndarray, "n"]) -> float:
    return float(values.mean()) if len(values) else np.nan


def _reduced(shares: Float[ndarray, "images cells"]) -> Float[ndarray, "images components"]:
    """Principal components of what differs between images, all zero where nothing does."""
    centred = shares - shares.mean(0)
    if np.abs(centred).max(initial=0) < 1e-12:
        return np.zeros((len(shares), 1))
    count = min(COMPONENTS, len(shares) - 1, shares.shape[1])
    found = _sklearn("decomposition").PCA(count, svd_solver="full").fit_transform(centred)
    return np.asarray(found, dtype=float)


def _spectrum(
    points: Float[ndarray, "images components"], neighbours: int
) -> tuple[Float[ndarray, "smallest"], Float[ndarray, "images smallest"]]:
    """The smallest eigenvalues of the neighbour graph's normalised Laplacian, with their vectors."""
    directed = _sklearn("neighbors").kneighbors_graph(points, neighbours).toarray()
    graph = (directed + directed.T) / 2
    scale = 1 / np.sqrt(graph.sum(0))
    laplacian = np.eye(len(graph)) - graph * scale * scale[:, None]
    values, vectors = eigh(laplacian, subset_by_index=[0, min(MOST, len(graph) - 1)])
    return values, vectors * scale[:, None]


def _of_one_cloud(reduced: Float[ndarray, "images components"], neighbours: int, seed: int) -> float:
    generator = np.random.default_rng([seed, len(reduced)])
    seconds = []
    for _ in range(CLOUDS):
        cloud = generator.standard_normal(reduced.shape) * reduced.std(0)
        seconds.append(_spectrum(cloud, neighbours)[0][1])
    return float(np.quantile(seconds, 0.05))


def _cut(vectors: Float[ndarray, "images smallest"], count: int, seed: int) -> Int[ndarray, "images"]:
    if count == 1:
        return np.zeros(len(vectors), int)
    means = _sklearn("cluster").KMeans(count, n_init=10, random_state=seed)
    chosen = vectors[:, :count] / np.linalg.norm(vectors[:, :count], axis=0)
    return np.asarray(means.fit_predict(chosen), dtype=int)


def _embedded(points: Float[ndarray, "images components"], seed: int) -> Float[ndarray, "images 2"]:
    """t-SNE (van der Maaten and Hinton 2008); all in one place where all are alike."""
    if np.ptp(points, axis=0).max() < 1e-9:
        return np.zeros((len(points), 2))
    perplexity = min(30.0, (len(points) - 1) / 3)
    start = "pca" if points.shape[1] > 1 else "random"
    flat = _sklearn("manifold").TSNE(2, perplexity=perplexity, init=start, random_state=seed)
    return np.asarray(flat.fit_transform(points), dtype=float)


def _filled(
    values: Float[ndarray, "known n"], is_known: Bool[ndarray, "images"]
) -> Float[ndarray, "images n"]:
    filled = np.full((len(is_known), values.shape[1]), np.nan)
    filled[is_known] = values
    return filled


def _sklearn(name: str) -> Any:
    """A module of scikit-learn. Raises `MissingDependency` without it."""
    import importlib

    try:
        return importlib.import_module(f"sklearn.{name}")
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "strategies are found with scikit-learn, which is not installed: pip install 'shapsight[diagnose]'"
        ) from error


def eigengap(found: Strategies) -> float | None:
    """The gap after the last strategy, relative, in [0, 1]; None where there is none to be seen."""
    values = found.eigenvalues
    if not 1 < found.count < len(values) or values[found.count] <= 0:
        return None
    return float(1 - max(values[found.count - 1], 0) / values[found.count])


def explained_by(found: Strategies, target: ndarray) -> float | None:
    """The share of a target's variance that lies between strategies; None of one strategy."""
    known = found.labels > 0
    values, labels = target[known], found.labels[known]
    if found.count < 2 or values.var() == 0:
        return None
    means = pd.Series(values).groupby(labels).transform("mean").to_numpy()
    return float(means.var() / values.var())
