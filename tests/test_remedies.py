"""Remedies: what moves, what stays, what may change, and that the same seed repeats it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.stats import kstest
from torchvision import tv_tensors

from discs import disc
from shapsight.data.manifest import Manifest, no_skipped
from shapsight.data.readers import read_dataset
from shapsight.data.remedies import REMEDIES, Flip, Scenes, read_recipe
from shapsight.data.remedies.batches import Draws, RecipeSamples, balance_weights
from shapsight.data.remedies.sample import Places, sample_of, targets_of
from shapsight.data.remedies.scenes import EraseScene, MixScenes, SwapScene, feathered, fill, filled_in
from shapsight.data.remedies.treatment import Treatment
from shapsight.data.rooms.camera import Camera
from shapsight.data.rooms.drive import LOOK_AHEAD, Pose, camera_at, drive, target
from shapsight.data.rooms.track import track
from shapsight.data.scale import Scale
from shapsight.errors import DataError
from shapsight.studies.shared.option import REMEDY_NAMES

SIZE = 24
POINT = Places(across=(0,), down=1, scales=(Scale(), Scale()))
PICTURES = arrays.arrays(np.uint8, (3, SIZE, SIZE))
REGIONS = arrays.arrays(np.bool_, (SIZE, SIZE))
TARGETS = st.tuples(*[st.floats(-1, 1, width=32)] * 2)
SEEDS = st.integers(0, 2**31)
KEPT = [name for name, remedy in REMEDIES.items() if remedy.make and remedy.region == "kept"]
CHANGED = [name for name, remedy in REMEDIES.items() if remedy.region == "changed"]


def made_manifest(environments: list[str], split: list[str], **columns: object) -> Manifest:
    count = len(environments)
    table = pd.DataFrame(
        {"path": [f"{n}.png" for n in range(count)], "environment": environments, "split": split}
        | {"width": SIZE, "height": SIZE}
        | (columns or {"x": np.linspace(-1, 1, count), "y": np.linspace(0, 0.5, count)})
    )
    targets = tuple(columns) or ("x", "y")
    return Manifest(Path("nowhere"), table, targets, no_skipped(), train_on=tuple(sorted(set(environments))))


def made_samples(recipe: str, *, count: int = 12, seed: int = 0) -> RecipeSamples:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (count, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    masks = torch.zeros(count, SIZE, SIZE, dtype=torch.bool)
    masks[:, SIZE // 2 :, 3:-3] = True
    manifest = made_manifest(["a", "b"] * (count // 2), ["train"] * count)
    return Treatment(read_recipe(recipe), masks).samples(manifest, images, seed)


@given(PICTURES, REGIONS, TARGETS)
def test_flipping_twice_is_the_identity_on_image_target_and_region(image, roi, values):
    targets = torch.tensor(values)
    sample = sample_of(torch.from_numpy(image), targets, POINT, torch.from_numpy(roi))
    twice = Flip(1.0)(Flip(1.0)(sample))
    assert torch.equal(twice["image"], sample["image"])
    assert torch.equal(twice["roi"], sample["roi"])
    torch.testing.assert_close(targets_of(twice, POINT), targets, rtol=0, atol=1e-7)


@given(PICTURES, REGIONS, TARGETS)
def test_one_flip_mirrors_image_and_region_and_changes_the_sign_of_x_only(image, roi, values):
    sample = sample_of(torch.from_numpy(image), torch.tensor(values), POINT, torch.from_numpy(roi))
    once = Flip(1.0)(sample)
    assert np.array_equal(once["image"], image[..., ::-1])
    assert np.array_equal(once["roi"], roi[:, ::-1])
    torch.testing.assert_close(
        targets_of(once, POINT), torch.tensor([-values[0], values[1]]), rtol=0, atol=1e-7
    )
    assert isinstance(once["points"], tv_tensors.KeyPoints)
    assert isinstance(once["roi"], tv_tensors.Mask)


@given(st.integers(0, SIZE), st.integers(0, SIZE))
def test_the_flipped_target_is_the_target_of_a_picture_that_was_drawn_mirrored(x, y):
    picture = torch.from_numpy(disc(x, y, SIZE, SIZE, (90, 30, 30))).permute(2, 0, 1)
    sample = sample_of(picture, torch.tensor([2 * x / SIZE - 1, 2 * y / SIZE - 1]), POINT, picture[0] > 127)
    flipped = Flip(1.0)(sample)
    drawn = disc(SIZE - x, y, SIZE, SIZE, (90, 30, 30))
    assert np.array_equal(flipped["image"], drawn.transpose(2, 0, 1))
    pixel = (targets_of(flipped, POINT) + 1) / 2 * SIZE
    torch.testing.assert_close(pixel, torch.tensor([SIZE - x, y]).float())


@settings(max_examples=40)
@given(st.floats(0, 0.999), st.floats(-0.12, 0.12), st.floats(-0.2, 0.2))
def test_the_flipped_target_is_what_the_renderers_camera_sees_in_the_mirrored_world(position, offset, turned):
    size = 96
    camera = camera_at(Pose(position, offset, turned), size)
    x, y = target(camera, Pose(position, offset, turned))
    across, along, up = camera.position
    mirrored = Camera((across, -along, up), -camera.heading, camera.pitch, size)
    ahead = track().at(position + LOOK_AHEAD / track().length)
    seen = mirrored.project(np.array([ahead[0], -ahead[1], 0.0]))
    image = torch.zeros(3, size, size, dtype=torch.uint8)
    values = torch.tensor([2 * x / size - 1, 2 * y / size - 1])
    flipped = Flip(1.0)(sample_of(image, values, POINT, image[0].bool()))
    pixel = (targets_of(flipped, POINT) + 1) / 2 * size
    torch.testing.assert_close(pixel, torch.from_numpy(seen).float(), rtol=1e-5, atol=1e-3)


def test_a_rendered_photograph_its_track_and_its_target_flip_together():
    for frame in drive("room_2", images=3, size=48, seed=4):
        values = torch.tensor(frame.target) / 48 * 2 - 1
        picture, roi = torch.from_numpy(frame.image).permute(2, 0, 1), torch.from_numpy(frame.roi)
        flipped = Flip(1.0)(sample_of(picture, values, POINT, roi))
        assert np.array_equal(flipped["image"], frame.image[:, ::-1].transpose(2, 0, 1))
        assert np.array_equal(flipped["roi"], frame.roi[:, ::-1])
        pixel = (targets_of(flipped, POINT) + 1) / 2 * 48
        torch.testing.assert_close(pixel, torch.tensor([48 - frame.target[0], frame.target[1]]))


@pytest.mark.parametrize("name", KEPT)
@settings(max_examples=40)
@given(image=PICTURES, roi=REGIONS, seed=SEEDS)
def test_no_pixel_inside_the_region_changes_unless_the_remedy_says_so(name, image, roi, seed):
    torch.manual_seed(seed)
    others = torch.randint(256, (3, 3, SIZE, SIZE), dtype=torch.uint8)
    hidden = torch.rand(3, SIZE, SIZE) < 0.4
    transform = read_recipe(name).transform(Scenes(others, hidden, torch.tensor([0, 0, 1])))
    sample = sample_of(torch.from_numpy(image), torch.tensor([0.1, 0.2]), POINT, torch.from_numpy(roi))
    changed = transform(sample)
    assert np.array_equal(changed["image"].numpy()[:, roi], image[:, roi])
    assert np.array_equal(changed["roi"], roi)
    torch.testing.assert_close(targets_of(changed, POINT), torch.tensor([0.1, 0.2]))


@pytest.mark.parametrize("name", KEPT)
def test_what_lies_outside_the_region_does_change(name):
    samples = made_samples(name)
    mask = samples.masks[0]
    after = [samples.changed(number, 0)["image"] for number in range(20)]
    assert sum(not torch.equal(image[:, ~mask], samples.images[0][:, ~mask]) for image in after) >= 8


@pytest.mark.parametrize("name", CHANGED)
def test_remedies_that_say_so_change_pixels_inside_the_region_and_move_none(name):
    samples = made_samples(name)
    mask = samples.masks[0]
    after = [samples.changed(number, 0) for number in range(12)]
    assert any(not torch.equal(one["image"][:, mask], samples.images[0][:, mask]) for one in after)
    for one in after:
        assert one["image"].dtype == torch.uint8
        assert torch.equal(one["roi"], mask)
        torch.testing.assert_close(targets_of(one, POINT), samples.targets[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("recipe", ["flip", "+".join(REMEDIES)])
def test_the_same_seed_gives_the_same_batches_on_no_and_two_workers(recipe):
    treatment = Treatment(read_recipe(recipe), images_per_epoch=12)
    batches = {}
    for workers in (0, 2):
        samples = made_samples(recipe)
        manifest = made_manifest(["a", "b"] * 6, ["train"] * 12)
        one = Treatment(treatment.recipe, samples.masks, images_per_epoch=12, workers=workers)
        loader = one.loader(manifest, samples.images, 4, seed=5)
        batches[workers] = []
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)
            batches[workers] += list(loader)
    assert len(batches[0]) == len(batches[2]) == 6
    for one, two in zip(batches[0], batches[2], strict=True):
        assert all(torch.equal(first, second) for first, second in zip(one, two, strict=True))
    assert not torch.equal(batches[0][0][0], batches[0][3][0])


def test_another_seed_gives_other_changes_and_the_global_generator_is_left_alone():
    first, second = (made_samples("light+noise", seed=seed) for seed in (0, 1))
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    assert not torch.equal(first[3, 0][0], second[3, 0][0])
    assert torch.equal(torch.rand(3), wanted)


def test_swapped_scenes_come_from_training_images_and_given_photographs_only():
    images = torch.zeros(4, 3, SIZE, SIZE, dtype=torch.uint8)
    images[1], images[2], images[3] = 60, 120, 255  # the last is of an unseen environment
    masks = torch.zeros(4, SIZE, SIZE, dtype=torch.bool)
    masks[:, SIZE // 2 :] = True
    manifest = made_manifest(["a", "a", "b", "c"], ["train", "train", "train", "unseen"])
    for scenes, levels in (
        (None, {0, 60, 120}),
        (torch.full((1, 3, SIZE, SIZE), 200).byte(), {0, 60, 120, 200}),
    ):
        samples = Treatment(read_recipe("swap-scene"), masks, scenes).samples(manifest, images)
        corners = {int(samples.changed(number, 0)["image"][0, 0, 0]) for number in range(80)}
        assert corners == levels


def test_a_pasted_region_fades_into_its_new_scene_and_leaves_no_second_track():
    roi = torch.zeros(28, 28, dtype=torch.bool)
    roi[14:] = True
    image, scene = torch.full((3, 28, 28), 200).byte(), torch.full((3, 28, 28), 40).byte()
    hidden = torch.zeros(28, 28, dtype=torch.bool)
    hidden[4:8] = True  # where the other picture's own track lies
    scene[:, hidden] = 255
    swapped = SwapScene(Scenes(scene[None], hidden[None], torch.tensor([0])), 1.0)
    after = swapped(sample_of(image, torch.zeros(2), POINT, roi))["image"][0, :, 0]
    assert (after[14:] == 200).all()
    assert (after[:13] == 40).all()
    assert 40 < after[13] < 200


def test_mixed_scenes_are_a_rectangle_of_another_scene_whose_area_is_uniform():
    roi = torch.zeros(40, 40, dtype=torch.bool)
    roi[20:24, 20:24] = True
    image, scene = torch.full((3, 40, 40), 200).byte(), torch.full((3, 40, 40), 40).byte()
    mixed = MixScenes(Scenes(scene[None], torch.zeros(1, 40, 40).bool(), torch.tensor([0])), 1.0)
    torch.manual_seed(0)
    areas = []
    for _ in range(400):
        is_new = mixed(sample_of(image, torch.zeros(2), POINT, roi))["image"][0] == 40
        rows, columns = is_new.any(1).nonzero()[:, 0], is_new.any(0).nonzero()[:, 0]
        box = torch.zeros_like(roi)
        box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        assert torch.equal(is_new, box & ~roi)
        areas.append(float(box.float().mean()))
    assert kstest(areas, "uniform").pvalue > 0.01


def test_help_names_every_remedy():
    assert tuple(REMEDIES) == REMEDY_NAMES


def test_a_scene_is_blurred_as_by_a_gaussian_of_two_dimensions_and_feathered_as_by_a_square():
    image = torch.randint(256, (3, 40, 56), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    roi = torch.rand(40, 56, generator=torch.Generator().manual_seed(1)) < 0.1
    exact = gaussian_filter(image.double().numpy(), (0, 4, 4), mode="mirror", radius=(0, 8, 8))
    assert np.abs(fill(image, ~roi, "blur").numpy() - exact).max() < 0.51
    near = uniform_filter(roi.double().numpy(), 7, mode="nearest")
    assert feathered(roi, 3).numpy() == pytest.approx(np.where(roi, 1, np.minimum(2 * near, 1)), abs=1e-6)


@given(REGIONS)
def test_feathering_is_one_inside_falls_outside_and_reaches_no_farther_than_it_says(roi):
    own = feathered(torch.from_numpy(roi), 3).numpy()
    assert (own[roi] == 1).all()
    assert own.min() >= 0
    far = torch.nn.functional.max_pool2d(torch.from_numpy(roi)[None].float(), 7, 1, 3)[0].numpy() == 0
    assert (own[far] == 0).all()


@given(PICTURES, REGIONS)
def test_filling_in_keeps_what_is_known_and_stays_within_its_colours(image, hidden):
    filled = filled_in(torch.from_numpy(image), torch.from_numpy(hidden)).numpy()
    assert np.array_equal(filled[:, ~hidden], image[:, ~hidden])
    if not hidden.all():
        low, high = image[:, ~hidden].min(1), image[:, ~hidden].max(1)
        assert (filled >= low[:, None, None].astype(int) - 1).all()
        assert (filled <= high[:, None, None].astype(int) + 1).all()


def test_an_erased_scene_is_grey_or_its_mean_colour_everywhere():
    samples = made_samples("erase-scene")
    sample = samples.changed(0, 0)
    image, roi = samples.images[0], samples.masks[0]
    sample["image"] = tv_tensors.Image(image)
    grey = EraseScene(1.0, fills=["grey"], whole=1.0)(sample)["image"]
    assert (grey[:, ~roi] == 128).all()
    mean = EraseScene(1.0, fills=["mean"], whole=1.0)(sample)["image"][:, ~roi].float()
    torch.testing.assert_close(mean[:, 0], image[:, ~roi].float().mean(1), rtol=0, atol=0.51)
    assert (mean == mean[:, :1]).all()


def test_every_recipe_draws_as_many_images_and_a_pass_shows_each_once():
    rows = np.array([3, 5, 8, 9, 12])
    order = Draws(rows, 4, seed=0)
    drawn = []
    for epoch in range(5):
        order.set_epoch(epoch)
        drawn += list(order)
    assert [number for number, _ in drawn] == list(range(20))
    shown = [row for _, row in drawn]
    assert all(sorted(shown[start : start + 5]) == rows.tolist() for start in range(0, 20, 5))


def test_balance_gives_every_environment_and_range_the_same_weight():
    x = np.array([-1.0, -0.9, -0.95, 1.0, 0.9, 1.0, -1.0])
    manifest = made_manifest(["a"] * 5 + ["b"] * 2, ["train"] * 7, x=x)
    weights = balance_weights(manifest).numpy()
    assert weights[:3].sum() == pytest.approx(1)
    assert weights[3:5].sum() == pytest.approx(1)
    assert weights[5] == weights[6] == 1


def test_targets_in_their_own_units_move_in_them():
    manifest = made_manifest(
        ["a"] * 2, ["train"] * 2, steering=np.array([10.0, -25.0]), speed=np.array([3.0, 4])
    )
    manifest = Manifest(
        manifest.root, manifest.table, manifest.targets, no_skipped(),
        scales={"steering": Scale(-30, 30, "degrees"), "speed": Scale(0, 8, "m/s")},
    )  # fmt: skip
    places = Places.of(manifest, mirrored=["steering"])
    image = torch.zeros(3, 8, 8).byte()
    flipped = Flip(1.0)(sample_of(image, torch.tensor([10.0, 3.0]), places, image[0].bool()))
    torch.testing.assert_close(targets_of(flipped, places), torch.tensor([-10.0, 3.0]))
    with pytest.raises(DataError, match=r"speed.*--mirrored"):
        read_recipe("flip").check(places, has_roi=True)


def test_class_labels_and_regions_pass_through_a_flip():
    sample = sample_of(torch.zeros(3, 8, 8).byte(), torch.tensor(3), Places(), torch.eye(8).bool())
    flipped = Flip(1.0)(sample)
    assert targets_of(flipped, Places()) == 3
    assert np.array_equal(flipped["roi"], np.eye(8)[:, ::-1])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("flop", "flip"), ("flip,flip", "more than once"), ("", "did you mean"), ("swapscene", "swap-scene")],
)
def test_a_recipe_that_cannot_be_read_says_what_there_is(text, complaint):
    with pytest.raises(DataError, match=complaint):
        read_recipe(text)


def test_recipes_are_named_and_applied_in_one_order_however_they_are_written():
    assert read_recipe("noise,flip").name == read_recipe("flip + noise").name == "flip+noise"
    assert read_recipe("baseline").remedies == ()
    with pytest.raises(DataError, match="--roi"):
        read_recipe("erase-scene").check(POINT, has_roi=False)


@pytest.mark.parametrize(("name", "mirrored"), [("x", ()), ("steering", ("steering",))])
def test_a_mirror_image_changes_the_sign_of_places_whose_range_is_lopsided(name, mirrored):
    images = [np.full((8, 12, 3), 20 * number, np.uint8) for number in range(6)]
    values = {name: [-0.2, 0.1, 0.4, 0.6, 0.8, 0.9]}
    manifest = read_dataset((images, values))
    places = Places.of(manifest, mirrored)
    for value in manifest.table[name]:
        sample = sample_of(
            torch.zeros(3, 8, 12).byte(), torch.tensor([value]), places, torch.eye(12).bool()[:8]
        )
        torch.testing.assert_close(targets_of(Flip(1.0)(sample), places), torch.tensor([-value]))


def test_a_flip_of_places_on_a_scale_that_was_only_guessed_is_refused():
    images = [np.full((8, 8, 3), 20 * n, np.uint8) for n in range(10)]
    shares = {"x": np.linspace(0.07, 0.9, 10), "y": np.linspace(0.2, 0.8, 10)}
    guessed = read_dataset((images, shares), validation_share=0)
    with pytest.raises(DataError, match=r"flip mirrors x.*x=0:1:widths"):
        read_recipe("flip").check(Places.of(guessed), has_roi=False)
    known = read_dataset((images, shares), scales={"x": "0:1:widths"}, validation_share=0)
    read_recipe("flip").check(Places.of(known), has_roi=False)
    assert Places.of(known).points(torch.tensor([0.2, 0.5]), (8, 10))[0, 0] == pytest.approx(0.2 * 10 - 0.5)
