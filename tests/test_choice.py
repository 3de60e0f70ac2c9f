import numpy as np
import pandas as pd

from shapsight.studies.shared.sampling import choose_images


def predictions() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, 60)
    table = pd.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(60)],
            "environment": ["a"] * 30 + ["b"] * 30,
            "split": ["train"] * 20 + ["validation"] * 10 + ["unseen"] * 30,
            "x": x,
            "predicted_x": x + generator.normal(0, 0.1, 60),
        }
    )
    table.loc[42, "predicted_x"] += 5
    return table


def test_turns_and_the_worst_error_are_among_the_chosen():
    table = predictions()
    chosen = choose_images(table, 8, target="x")
    for environment, split in (("a", "validation"), ("b", "unseen")):
        group = table[(table["environment"] == environment) & (table["split"] == split)]
        picked = chosen[chosen["environment"] == environment]
        assert len(picked) == 8
        assert picked.index.is_unique
        assert {group["x"].idxmin(), group["x"].idxmax()} <= set(picked.index)
        assert (group["x"] - group["predicted_x"]).abs().idxmax() in picked.index


def test_images_that_were_trained_on_are_not_explained():
    assert "train" not in set(choose_images(predictions(), 8, target="x")["split"])


def test_half_of_the_chosen_are_drawn_at_random_and_the_seed_repeats_them():
    one, again, other = (choose_images(predictions(), 8, target="x", seed=seed) for seed in (1, 1, 2))
    assert (one["why"] == "drawn at random").sum() == 8
    assert list(one.index) == list(again.index)
    assert list(one.index) != list(other.index)


def test_an_environment_with_few_images_gives_those_it_has():
    table = predictions().iloc[[0, 20, 30]]
    assert len(choose_images(table, 8, target="x")) == 2
