"""Bundles: the same predictions after saving and loading, and a refusal of anything that does not match."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

import shapsight
from shapsight.data.images import load_images
from shapsight.errors import DataError, ModelError
from shapsight.models.build import build_model
from shapsight.models.bundle import Bundle, load_bundle, weights_hash
from shapsight.models.card import Card
from shapsight.studies.shared.references import with_chosen_references

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 64, 64), dtype=np.uint8))


@pytest.fixture
def bundle() -> Bundle:
    built = build_model("shufflenet_v2_x0_5", 2, weights="none")
    card = Card(
        arch=built.arch,
        output_names=("x", "y"),
        output_scales={"x": "half widths", "y": "half heights"},
        input_size=64,
        mean=built.mean,
        std=built.std,
        training={"epochs": 3, "environments": ["büro"]},
        metrics={"validation_loss": 0.25},
        model_hash=weights_hash(built.model),
    )
    return Bundle(built.model, card, IMAGES[:3].clone())


@pytest.fixture
def saved(bundle, tmp_path):
    return bundle.save(tmp_path / "model")


def test_a_bundle_comes_back_with_the_same_predictions_card_and_references(bundle, saved):
    again = load_bundle(saved)
    assert torch.equal(again.predict(IMAGES), bundle.predict(IMAGES))
    assert torch.equal(again.references, bundle.references)
    assert again.card == bundle.card
    assert sorted(path.name for path in saved.iterdir()) == [
        "card.json",
        "model.safetensors",
        "references.safetensors",
    ]


def test_prepare_is_what_torchvision_does_for_these_weights(bundle):
    expected = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    torch.testing.assert_close(bundle.prepare(IMAGES), expected(IMAGES))


def test_predictions_do_not_depend_on_the_batch_or_the_training_flag(bundle):
    alone = torch.cat([bundle.predict(image[None]) for image in IMAGES])
    bundle.model.train()
    together = bundle.predict(IMAGES, batch_size=2)
    torch.testing.assert_close(alone, together)
    assert bundle.model.training
    torch.testing.assert_close(together, bundle.model.eval()(bundle.prepare(IMAGES)).detach())
    assert together.dtype == torch.float32
    assert not together.requires_grad


def test_predicting_leaves_weights_buffers_and_gradients_alone_and_no_images_give_none(bundle):
    before = weights_hash(bundle.model)
    bundle.predict(IMAGES)
    assert weights_hash(bundle.model) == before
    assert all(parameter.grad is None and parameter.requires_grad for parameter in bundle.model.parameters())
    assert bundle.predict(IMAGES[:0]).shape == (0, 2)


def test_predictions_can_go_on_into_autograd(bundle):
    weight = torch.ones(2, requires_grad=True)
    (bundle.predict(IMAGES) * weight).sum().backward()
    assert weight.grad is not None


def test_the_card_is_json_with_everything_that_is_needed(saved):
    card = json.loads((saved / "card.json").read_text(encoding="utf-8"))
    assert card["format"] == "shapsight.bundle/1"
    assert card["task"] == "regression"
    assert card["channel_order"] == "RGB"
    assert card["input_size"] == 64
    assert set(card["versions"]) == {"shapsight", "torch", "torchvision", "python"}
    assert card["versions"]["shapsight"] == shapsight.__version__
    assert len(card["model_hash"]) == 64
    assert "büro" in (saved / "card.json").read_text(encoding="utf-8")


def test_a_number_that_is_not_finite_becomes_null_in_the_card(bundle):
    card = dataclasses.replace(bundle.card, metrics={"loss": float("nan"), "deep": float("inf")})
    assert Card.from_json(card.to_json()).metrics == {"loss": None, "deep": None}


def test_saving_writes_the_hash_of_the_weights_as_they_are_now(bundle, tmp_path):
    with torch.no_grad():
        bundle.model.fc.bias += 1
    again = load_bundle(bundle.save(tmp_path))
    assert again.card.model_hash == weights_hash(bundle.model) != bundle.card.model_hash


def test_a_failing_save_leaves_the_bundle_that_was_there(bundle, saved, monkeypatch):
    before = bundle.predict(IMAGES)
    with torch.no_grad():
        bundle.model.fc.bias += 1

    def fail(self):
        raise OSError("no space left on device")

    monkeypatch.setattr(Card, "to_json", fail)
    with pytest.raises(OSError, match="no space"):
        bundle.save(saved)
    monkeypatch.undo()
    assert torch.equal(load_bundle(saved).predict(IMAGES), before)


@pytest.mark.parametrize("name", ["model.safetensors", "references.safetensors", "card.json"])
def test_a_missing_or_truncated_file_is_named(saved, name):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=rf"{name} is damaged"):
        load_bundle(saved)
    (saved / name).unlink()
    with pytest.raises(ModelError, match=rf"no bundle: {name} is missing"):
        load_bundle(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"format": "shapsight.bundle/2"},
            r"format 'shapsight\.bundle/2'; .* reads 'shapsight\.bundle/1'",
        ),
        ({"colour": "BGR"}, "a field is missing or unknown"),
        ({"arch": "resnet-18"}, "Did you mean resnet18"),
        ({"arch": "squeezenet1_1"}, "do not fit"),
        ({"model_hash": "0"}, r"other weights than card\.json was written for"),
        ({"input_size": 32}, r"takes uint8 images of shape \(N, 3, 32, 32\)"),
    ],
)
def test_a_card_that_does_not_match_is_refused(saved, change, message):
    card = json.loads((saved / "card.json").read_text(encoding="utf-8"))
    (saved / "card.json").write_text(json.dumps(card | change), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        load_bundle(saved)


@pytest.mark.parametrize("text", ["[]", "7", "{}", '{"format": "shapsight.bundle/1"}'])
def test_a_card_that_is_something_else_is_refused(text):
    with pytest.raises(ModelError, match="the card"):
        Card.from_json(text)


@pytest.mark.parametrize("images", [IMAGES.float(), IMAGES[:, :1], IMAGES[..., :32], IMAGES[0]])
def test_pictures_of_another_type_or_size_are_refused(bundle, images):
    with pytest.raises(ModelError, match=r"takes uint8 images of shape \(N, 3, 64, 64\)"):
        bundle.prepare(images)


@pytest.mark.parametrize(
    "images", [IMAGES.float(), IMAGES.double().numpy(), {"a": 1}, 3, [None], IMAGES[0, 0, 0]]
)
def test_what_is_no_image_of_8_bits_is_refused(bundle, images):
    with pytest.raises((DataError, ModelError), match=r"uint8|no image|shape|not a PIL image"):
        bundle.predict(images)


def test_paths_pil_images_arrays_and_tensors_are_all_seen_alike(bundle, tmp_path):
    pixels = torch.randint(0, 256, (3, 48, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    array = pixels.permute(1, 2, 0).numpy()
    image = Image.fromarray(array)
    image.save(tmp_path / "a.png")
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), image, array, pixels]
    expected = load_images(tmp_path, ["a.png"], 64)
    for one in kinds:
        assert torch.equal(bundle.pictures(one), expected)
    assert torch.equal(bundle.pictures(kinds), expected.expand(5, -1, -1, -1))
    grey = Image.fromarray(array[..., 0])
    assert torch.equal(bundle.pictures(grey), bundle.pictures(array[..., :1]))
    assert torch.equal(bundle.pictures([grey, image]), torch.cat([bundle.pictures(grey), expected]))


def test_the_hash_tells_values_names_and_types_apart():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.load_state_dict(first.state_dict())
    assert weights_hash(first) == weights_hash(second)
    with torch.no_grad():
        second.bias[0] += 1e-6
    assert weights_hash(first) != weights_hash(second)
    assert weights_hash(first) != weights_hash(nn.Sequential(first))
    assert weights_hash(nn.Linear(2, 2, bias=False).double()) != weights_hash(nn.Linear(2, 2, bias=False))


def test_a_bundles_files_may_be_read_by_those_who_may_read_any_new_file(bundle, tmp_path):
    folder = bundle.save(tmp_path / "model")
    (tmp_path / "any").touch()
    usual = (tmp_path / "any").stat().st_mode
    assert {file.stat().st_mode for file in folder.iterdir()} == {usual}


def test_chosen_references_come_back_and_a_class_without_images_is_named(bundle, tmp_path):
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (40, 3, 64, 64), dtype=np.uint8))
    table = pd.DataFrame({"label": ["cat"] * 20 + ["dog"] * 18 + ["eel"] * 2})
    manifest = SimpleNamespace(
        class_names=("cat", "dog", "eel", "fox"), table=table, train_on=(), rows=lambda _: np.arange(38)
    )
    chosen, notes = with_chosen_references(bundle, manifest, images, 6)
    assert notes == ("no reference stands for eel, fox: none of the 38 images to choose from is of it",)
    again = load_bundle(chosen.save(tmp_path / "chosen"))
    assert (again.card.training["references"], again.card.training["references_chosen_from"]) == (6, 38)
    assert again.card.training["references_chosen_by"] == "features and outputs"
    assert torch.equal(again.references, images[again.chosen.indices])
    assert {table["label"][i] for i in again.chosen.indices.tolist()} == {"cat", "dog"}
    prepared = again.prepared_references(4)
    assert torch.equal(prepared.references, again.prepare(again.references[:4]))
    values, weights = torch.randn(6, 20), torch.full((6,), 1 / 6)
    assert again.chosen.likeness.variance_ratio(values, weights) == chosen.chosen.likeness.variance_ratio(
        values, weights
    )


def test_a_model_that_answers_with_nan_keeps_the_references_that_were_drawn(bundle):
    with torch.no_grad():
        next(p for p in reversed(list(bundle.model.parameters())))[0] = torch.nan
    manifest = SimpleNamespace(
        class_names=(),
        table=pd.DataFrame({"environment": ["hall"] * 5}),
        train_on=(),
        rows=lambda _: np.arange(5),
    )
    same, notes = with_chosen_references(bundle, manifest, IMAGES, 2)
    assert same is bundle
    assert notes[0].startswith(
        "references are drawn, since none could be chosen: image 0 of the pool makes the model"
    )
