"""Pictures cut along their regions and put together in other ways, and what models that are known make of them."""

import numpy as np
import pytest
import torch

from pictures import assert_texts_have_room
from scene_readers import HORIZON, SIDE, Reader, case_of
from shapsight.diagnosis.changes import effect_table, effects_on_classes, effects_on_number
from shapsight.diagnosis.interventions import (
    FILLED,
    KEEPS_REGION,
    VARIANTS,
    changed_alone,
    cut,
    draw_partners,
    most_alike,
    scene_patches,
)
from shapsight.drawing.charts.interventions import effects_plot
from shapsight.drawing.stills import stills_plot
from shapsight.errors import DataError
from shapsight.studies.diagnose.why.facts import WhyFacts
from shapsight.studies.diagnose.why.study import why
from shapsight.studies.diagnose.why.swaps import predict_variants, swapping

EVERYONE = np.arange(10)


def random_cut(count: int = 10, seed: int = 0):
    """Pictures of noise, each with a region of its own."""
    generator = np.random.default_rng(seed)
    images = torch.from_numpy(generator.integers(0, 256, (count, 3, SIDE, SIDE)).astype(np.uint8))
    masks = np.zeros((count, SIDE, SIDE), bool)
    for mask in masks:
        top, left = generator.integers(0, SIDE - 10, 2)
        mask[top : top + 9, left : left + 9] = True
    return cut(images, masks), images, masks


@pytest.mark.parametrize("name", KEEPS_REGION)
def test_a_variant_that_keeps_the_region_keeps_every_pixel_of_it(name: str):
    pieces, images, masks = random_cut()
    if name in FILLED or name in ("mean scene", "only-foreground"):
        changed = changed_alone(name, pieces)
    else:
        changed = pieces.paste(EVERYONE, np.roll(EVERYONE, 3))
    inside = torch.from_numpy(masks)[:, None].expand_as(images)
    assert torch.equal(changed[inside], images[inside])
    assert (changed[~inside] != images[~inside]).float().mean() > 0.8


def test_an_image_on_its_own_scene_is_itself():
    pieces, images, _ = random_cut()
    assert torch.equal(pieces.paste(EVERYONE, EVERYONE), images)


def test_far_from_the_region_a_pasted_image_is_the_other_scene():
    pieces, images, masks = random_cut()
    pasted = pieces.paste([0], [1])[0]
    near = pieces.weights[0] > 0
    untouched = torch.from_numpy(~masks[1]) & ~near
    assert untouched.any()
    assert torch.equal(pasted[:, untouched], images[1][:, untouched])


def test_only_background_says_nothing_of_the_region():
    pieces, images, masks = random_cut()
    repainted = torch.where(torch.from_numpy(masks)[:, None], 255 - images, images)
    assert torch.equal(
        changed_alone("only-background", pieces), changed_alone("only-background", cut(repainted, masks))
    )


def test_no_foreground_is_black_in_the_region_and_leaves_the_scene():
    pieces, images, masks = random_cut()
    inside = torch.from_numpy(masks)[:, None].expand_as(images)
    changed = changed_alone("no-foreground", pieces)
    assert not changed[inside].any()
    assert torch.equal(changed[~inside], images[~inside])


def test_noise_is_the_same_with_the_same_seed_and_leaves_torchs_own_random_numbers_alone():
    pieces, _, _ = random_cut(3)
    before = torch.random.get_rng_state()
    one, two, other = (changed_alone("noise scene", pieces, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_regions_that_cannot_be_cut_and_unknown_variants_are_refused():
    _, images, masks = random_cut()
    for wrong in (np.zeros_like(masks), np.ones_like(masks), masks[:5], masks[:, :8]):
        with pytest.raises(DataError):
            cut(images, wrong)
    with pytest.raises(DataError):
        changed_alone("mixed-nothing", random_cut(2)[0])


def test_partners_are_others_of_the_same_group_or_of_another():
    groups = ["a"] * 5 + ["b"] * 3 + ["c"]
    generator = np.random.default_rng(0)
    same = draw_partners(groups, 2, generator, same=True)
    assert (same[:, 8] == -1).all()
    for number in range(8):
        assert len(set(same[:, number])) == 2
        assert number not in same[:, number]
        assert all(groups[partner] == groups[number] for partner in same[:, number])
    other = draw_partners(groups, 200, generator, same=False)
    assert all(groups[p] != groups[n] for row in other for n, p in enumerate(row))
    # Groups are drawn evenly: the single c is met as often as all of b.
    assert 0.35 < (other[:, 0] == 8).mean() < 0.65
    assert (draw_partners(["a"] * 4, 1, generator, same=False) == -1).all()


def test_the_most_alike_scene_is_that_of_the_same_place_whatever_its_region_shows():
    _, images, masks = random_cut()
    again = torch.where(torch.from_numpy(masks)[:, None], torch.zeros_like(images), images)
    both = cut(torch.cat([images, again]), np.concatenate([masks, masks]))
    assert (most_alike(both, ["room"] * 20) == np.concatenate([EVERYONE + 10, EVERYONE])).all()
    assert (most_alike(both, list(range(20))) == -1).all()


def test_patches_of_the_scene_are_numbered_and_the_region_is_zero():
    masks = np.zeros((2, 8, 12), bool)
    masks[:, 4:] = True
    labels = scene_patches(masks, 2, 3)
    assert (labels[:, 4:] == 0).all()
    assert labels[0, 0].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    with pytest.raises(DataError):
        scene_patches(masks, 9, 1)


def test_effects_are_means_over_draws_of_what_can_be_counted_by_hand():
    effects = effects_on_number(
        np.array([0.5, -0.2]), np.array([[0.1, np.nan], [-0.3, np.nan]]), np.array([0.4, 0.0])
    )
    assert effects.change[0] == pytest.approx(0.6)
    assert effects.flips[0] == pytest.approx(0.5)
    assert effects.error[0] == pytest.approx((0.3**2 + 0.7**2) / 2)
    assert np.isnan([effects.change[1], effects.flips[1], effects.error[1]]).all()
    assert np.isnan(effects_on_number(np.ones(2), np.ones((1, 2)), np.ones(2), middle=None).flips).all()
    classes = effects_on_classes(
        np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[[0.3, 0.7], [0.1, 0.9]]]), np.array([0, 0])
    )
    assert classes.change == pytest.approx([0.6, 0.1])
    assert classes.flips.tolist() == [1, 0]
    assert classes.error.tolist() == [1, 1]


def test_the_table_has_a_row_for_each_environment_and_for_all():
    effects = effects_on_number(np.zeros(6), np.arange(6.0)[None], np.zeros(6))
    table = effect_table({"mixed-same": effects}, np.array(["a"] * 4 + ["b"] * 2)).set_index("environment")
    assert table["change"].to_dict() == {"a": 1.5, "b": 4.5, "all": 2.5}
    assert table.loc["a", "change_low"] < 1.5 < table.loc["a", "change_high"]


def test_a_model_that_reads_the_region_alone_is_moved_by_no_scene():
    facts = why(case_of(Reader(1.0, 0.0)), patch_evaluations=40).facts.to_json()
    assert facts["scene_change"] == facts["control_change"] == 0
    assert facts["region_change"] > 0.1
    assert facts["scene_share"] == pytest.approx(0, abs=1e-9)
    assert facts["region_share"] == pytest.approx(1)
    assert facts["error"] == facts["swapped_error"] == pytest.approx(0, abs=1e-10)
    assert facts["patches_scene"] < 0.05


def test_a_model_that_reads_the_scene_alone_is_moved_by_no_region():
    found = why(case_of(Reader(0.0, 1.0)), patch_evaluations=40)
    facts = found.facts.to_json()
    assert facts["region_change"] == pytest.approx(0, abs=1e-6)
    assert facts["scene_share"] == pytest.approx(1)
    assert facts["scene_flips"] > 0.2
    assert facts["top_patch"].startswith("top")
    assert facts["patches_scene"] > 0.95
    assert any("100% of the prediction's variance comes from the scene" in said for said in found.sentences)


def test_a_model_of_both_is_moved_as_far_as_its_weights_say():
    case = case_of(Reader(0.6, 0.3))
    swaps = swapping(case, np.arange(24), 2)
    said = predict_variants(swaps)
    parts = case.bundle.prepare(case.images)
    scene = parts[:, :, : HORIZON // 2].mean((1, 2, 3)).numpy()
    region = parts[:, :, HORIZON:].mean((1, 2, 3)).numpy()
    for draw, partners in enumerate(swaps.partners["mixed-rand"]):
        assert said["mixed-rand"][draw, :, 0] == pytest.approx(0.6 * region + 0.3 * scene[partners], abs=1e-5)
        own = 0.6 * region[partners] + 0.3 * scene
        assert said["region-rand"][draw, :, 0] == pytest.approx(own, abs=1e-5)
    facts = why(case).facts.to_json()
    expected = 0.3**2 * scene.var() / (0.3**2 * scene.var() + 0.6**2 * region.var())
    assert facts["scene_share"] == pytest.approx(expected, abs=0.08)
    assert facts["together_share"] == pytest.approx(0, abs=1e-9)


def test_a_classifier_is_told_by_its_labels():
    def by_scene(region, scene):
        return 20 * torch.stack([scene, -scene], 1)

    found = why(case_of(Reader(0.0, 0.0, by_scene), class_names=("light", "dark")), patch_evaluations=40)
    assert found.facts.output == "label"
    assert found.facts.scene_share.value == pytest.approx(1)
    assert found.facts.scene_flips.value > 0.2
    assert found.facts.region_flips.value == 0
    assert set(found.tables["variants"]["target"]) == {"label"}


def test_every_variant_is_in_the_table_and_in_the_picture_of_an_image():
    found = why(case_of(Reader(1.0, 0.5)), patch_evaluations=40)
    assert set(found.tables["variants"]["variant"]) == {"original", *VARIANTS}
    assert len(found.pictures) == 6
    assert sum(picture.chart is not None for picture in found.pictures) == 4
    variants = [image.caption.partition(":")[0] for image in found.pictures[0].images]
    assert {"original", *VARIANTS} == set(variants)


def test_without_a_region_or_with_too_few_nothing_is_swapped_and_that_is_said():
    case = case_of(Reader(1.0, 0.5))
    nothing = why(type(case)(**{**vars(case), "masks": None}))
    assert repr(nothing.facts) == repr(WhyFacts())  # NaN is no number, and from Python 3.13 on not itself
    assert "--roi" in nothing.left_out[0]
    masks = case.masks.copy()
    masks[3:] = False
    few = why(type(case)(**{**vars(case), "masks": masks}))
    assert few.facts == WhyFacts()
    assert "21 images" in few.left_out[0]
    masks[:14] = case.masks[:14]
    some = why(type(case)(**{**vars(case), "masks": masks}), patch_evaluations=40)
    assert some.facts.images == 14


def test_one_environment_leaves_out_the_background_gap():
    found = why(case_of(Reader(1.0, 0.5), environments=("home",)), patch_evaluations=40)
    assert not found.facts.background_gap.is_known
    assert any("one environment" in said for said in found.left_out)
    assert np.isfinite(found.facts.scene_change.value)


def test_progress_ends_at_its_total():
    told = []
    why(case_of(Reader(1.0, 0.5)), lambda done, total: told.append((done, total)), patch_evaluations=40)
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len({total for _, total in told}) == 1


def test_pictures_have_room_for_their_texts(monkeypatch: pytest.MonkeyPatch):
    drawn = [each for each in why(case_of(Reader(1.0, 0.5)), patch_evaluations=40).pictures if each.images]
    assert len(drawn) == 2
    for picture in drawn:
        assert_texts_have_room(stills_plot(picture.images[: picture.first], picture.maps), monkeypatch)


def test_pictures_of_nothing_are_refused():
    with pytest.raises(DataError):
        effects_plot(effect_table({}, np.array([], str)), "change", "x")
