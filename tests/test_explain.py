"""`explain` in one call, and `shapsight explain` on files."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from typer.testing import CliRunner

from shapsight import DeepShap, Explanation, GradientShap, PartitionShap, TopK, explain
from shapsight.cli import app
from shapsight.errors import ExplainerError, ModelError
from shapsight.models.build import build_classifier
from shapsight.models.bundle import Bundle
from shapsight.models.card import Card

SIZE = 24


class Tiny(nn.Module):
    """A small network with two outputs, under torchvision's name for one."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(inplace=True), nn.Flatten())
        self.head = nn.Linear(4 * 11 * 11, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


def shapsight(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def pictures(count: int, size: int = SIZE) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


@pytest.fixture
def bundle() -> Bundle:
    card = Card("tiny", ("x", "y"), {}, SIZE, (0.5, 0.4, 0.3), (0.2, 0.2, 0.25))
    return Bundle(Tiny(), card, pictures(5))


def test_a_bundle_brings_its_references_preprocessing_and_names(bundle):
    images = pictures(2)
    found = explain(bundle, images, "deep", "y")
    expected = DeepShap(bundle.model, bundle.prepare(bundle.references))(bundle.prepare(images), 1)
    torch.testing.assert_close(found.values, expected.values)
    assert found.name_of(0, 0) == "y"
    torch.testing.assert_close(found.images, images.float() / 255)


def test_gradient_options_arrive(bundle):
    images = pictures(1)
    found = explain(bundle, images, "gradient", samples=40, seed=3)
    references = bundle.prepare(bundle.references)
    expected = GradientShap(bundle.model, references, samples=40, seed=3)(bundle.prepare(images))
    torch.testing.assert_close(found.values, expected.values)


def test_black_box_methods_mask_the_picture_before_it_is_normalised(bundle):
    images = pictures(2)
    found = explain(bundle, images, "partition", masker="constant(9)", max_evals=40, contexts="both")
    hidden = bundle.predict(torch.full((1, 3, SIZE, SIZE), 9, dtype=torch.uint8))
    torch.testing.assert_close(found.base_values, hidden.expand(2, -1))
    torch.testing.assert_close(found.predictions, bundle.predict(images))
    regions = explain(bundle, images, "regions", masker="constant(9)", regions="grid(2,2)")
    torch.testing.assert_close(regions.values.sum((2, 3, 4)), bundle.predict(images) - hidden)


def test_a_function_of_arrays_is_explained_like_the_class_does():
    images = pictures(1).permute(0, 2, 3, 1).numpy()
    found = explain(lambda batch: batch.reshape(len(batch), -1)[:, :3].astype(float), images, "partition", TopK(1),
                    masker="mean", max_evals=20)  # fmt: skip
    expected = PartitionShap(
        lambda batch: batch.reshape(len(batch), -1)[:, :3].astype(float), "mean", max_evals=20
    )(images, TopK(1))
    torch.testing.assert_close(found.values, expected.values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "lime"}, "is not one of 'deep', 'gradient'"),
        ({"method": "deep"}, "pass references="),
        ({"method": "partition", "samples": 3}, "method='partition'.*samples"),
    ],
)
def test_what_does_not_fit_is_said(arguments, message):
    with pytest.raises(ExplainerError, match=message):
        explain(Tiny(), pictures(1).float(), **arguments)


def test_values_of_a_bundle_are_laid_on_images_of_another_size_and_their_sum_stays(bundle):
    image = pictures(1, 30)
    for method in ("deep", "partition"):
        found, seen = explain(bundle, image, method), explain(bundle, image, method, on_image=False)
        assert found.images.shape[2:] == found.values.shape[3:] == (30, 30)
        assert torch.equal(found.images, image.float() / 255)
        assert seen.values.shape[3:] == (SIZE, SIZE)
        torch.testing.assert_close(found.values.sum((2, 3, 4)), seen.values.sum((2, 3, 4)))
        torch.testing.assert_close(found.completeness_gap, seen.completeness_gap, atol=1e-6, rtol=0)


def test_images_of_several_sizes_are_explained_as_the_model_sees_them_and_it_is_said(bundle):
    several = [pictures(1, 30)[0], pictures(1, 40)[0]]
    with pytest.warns(UserWarning, match="images of 2 sizes"):
        found = explain(bundle, several)
    assert found.values.shape[3:] == (SIZE, SIZE)
    with pytest.raises(ExplainerError, match="one by one"):
        explain(bundle, several, on_image=True)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> dict[str, Path]:
    """An untrained SqueezeNet with three classes, saved, and names for them."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    network = models.squeezenet1_1(num_classes=3)
    save_file(network.state_dict(), folder / "weights.safetensors")
    (folder / "classes.json").write_text(json.dumps(["cat", "dog, hound", "hen"]))
    (folder / "photos").mkdir()
    for number, size in enumerate([(70, 60), (40, 90)]):
        pixels = torch.randint(0, 256, (size[1], size[0], 3), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / "photos" / f"photo_{number}.png")
    (folder / "photos" / "broken.jpg").write_bytes(b"nothing like a picture")
    return {name: folder / name for name in ("weights.safetensors", "classes.json", "photos")}


def options(classifier: dict[str, Path]) -> list[object]:
    return [
        "--arch", "squeezenet1_1", "--weights", classifier["weights.safetensors"],
        "--classes", classifier["classes.json"], "--image-size", 64, "--device", "cpu",
    ]  # fmt: skip


def test_the_command_writes_explanations_figures_a_table_and_what_it_left_out(classifier, tmp_path):
    out = tmp_path / "run"
    arguments = ["--method", "partition", "--max-evals", 12, "--masker", "blur(8,8)", "--outputs", "top2"]
    result = shapsight("explain", classifier["photos"], *options(classifier), *arguments, "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "explanations.csv")
    assert len(table) == 4
    assert set(table["output"]) <= {"cat", "dog, hound", "hen"}
    assert pd.read_csv(out / "skipped.csv")["path"].str.endswith("broken.jpg").tolist() == [True]
    for _, row in table.iterrows():
        found = Explanation.load(out / row["explanation"])
        column = found.output_index[0].tolist().index(row["output_index"])
        assert found.predictions[0, column].item() == pytest.approx(row["prediction"], rel=1e-5)
        with Image.open(out / row["figure"]) as figure:
            assert figure.width > 300
    assert json.loads((out / "run.json").read_text())["status"] == "done"


def test_figures_of_the_command_are_drawn_at_the_detail_and_in_the_colours_asked_for(
    classifier, tmp_path, monkeypatch
):
    plot, drawn = Explanation.plot, []
    monkeypatch.setattr(Explanation, "plot", lambda one, **given: drawn.append(given) or plot(one, **given))
    photo = classifier["photos"] / "photo_0.png"
    common = [photo, *options(classifier), "--method", "regions", "--regions", "grid(2,2)"]
    looks = ["--detail", "smooth", "--cmap", "PiYG"]
    result = shapsight("explain", *common, *looks, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert [(given["detail"], given["cmap"]) for given in drawn] == [("smooth", "PiYG")]


def test_a_probability_is_the_softmax_of_the_logits_and_a_comma_in_a_name_is_no_separator(
    classifier, tmp_path
):
    photo = classifier["photos"] / "photo_0.png"
    common = [photo, *options(classifier), "--method", "regions", "--regions", "grid(2,2)"]
    logits, shares = tmp_path / "logits", tmp_path / "shares"
    assert shapsight("explain", *common, "--outputs", "all", "--out", logits).exit_code == 0
    result = shapsight("explain", *common, "--outputs", "dog, hound", "--probability", "--out", shares)
    assert result.exit_code == 0, result.output
    values = torch.tensor(pd.read_csv(logits / "explanations.csv")["prediction"].to_numpy())
    assert pd.read_csv(shares / "explanations.csv")["prediction"].item() == pytest.approx(
        values.softmax(0)[1].item(), rel=1e-4
    )


@pytest.mark.parametrize(
    ("names", "outputs", "chosen"),
    [
        (["10", "2", "5"], "2,10", ["2", "10"]),
        (["10", "2", "5"], "2", ["2"]),
        (["10", "2", "5"], "5, 0, 10", ["5", "10", "10"]),
        (["tench, Tinca tinca", "2", "hen"], "hen,tench, Tinca tinca,2", ["hen", "tench, Tinca tinca", "2"]),
        (["top2", "all", "hen"], "all", ["all"]),
        (["top2", "all", "hen"], "top2", ["top2"]),
    ],
)
def test_what_is_the_name_of_an_output_is_taken_for_nothing_else(
    classifier, tmp_path, names, outputs, chosen
):
    (tmp_path / "names.json").write_text(json.dumps(names), encoding="utf-8-sig")
    arguments = ["--method", "regions", "--regions", "grid(1,2)", "--masker", "mean", "--outputs", outputs]
    photo = classifier["photos"] / "photo_0.png"
    given = [*options(classifier), "--classes", tmp_path / "names.json"]
    result = shapsight("explain", photo, *given, *arguments, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "run" / "explanations.csv", dtype={"output": str})
    assert table["output"].tolist() == chosen


def test_a_name_that_two_outputs_bear_is_refused_with_both_columns(classifier, tmp_path):
    (tmp_path / "names.txt").write_text("cat\ncat\nhen")
    given = [*options(classifier), "--classes", tmp_path / "names.txt", "--outputs", "hen,cat"]
    result = shapsight("explain", classifier["photos"] / "photo_0.png", *given, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "2 outputs are called 'cat', columns 0, 1" in " ".join(result.stderr.split())


def test_a_folder_is_explained_without_what_is_hidden_and_says_what_else_was_there(classifier, tmp_path):
    photos = tmp_path / "photos"
    for name in ("a.png", "._a.png", ".thumbnails/b.png", "more/.ipynb_checkpoints/c.png", "more/d.tif"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 30), (90, 20, 20)).save(photos / name)
    (photos / "notes.txt").write_text("")
    arguments = ["--method", "deep", "--references", photos, "--outputs", "hen", "--out", tmp_path / "run"]
    result = shapsight("explain", photos, *options(classifier), *arguments)
    assert result.exit_code == 0, result.output
    said = [Path(name).name for name in pd.read_csv(tmp_path / "run" / "explanations.csv")["image"]]
    assert said == ["a.png", "d.tif"]
    assert (
        result.stderr.count("Files that are no images were passed over: 1 .txt.") == 2
    )  # images and references


@pytest.mark.parametrize("method", ["deep", "gradient"])
def test_methods_with_references_take_a_folder_of_them_or_say_so(classifier, tmp_path, method):
    photo = classifier["photos"] / "photo_0.png"
    common = [
        "explain",
        photo,
        *options(classifier),
        "--method",
        method,
        "--samples",
        200,
        "--outputs",
        "hen",
    ]
    result = shapsight(*common, "--out", tmp_path / "none")
    assert result.exit_code == 1
    assert "--references FOLDER" in result.stderr
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / ".none.part").exists()
    result = shapsight(*common, "--references", classifier["photos"], "--out", tmp_path / "some")
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "some" / "explanations.csv")["output"].tolist() == ["hen"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--method", "lime"], "not one of deep, gradient"),
        (["--outputs", "cow"], "no output is called 'cow'"),
        (["--masker", "smear"], "is not a masker; write one of blur"),
        (["--max-evals", 2], "at least 3"),
        (["--arch", "resnet18"], "Do they belong to another architecture"),
        (["--device", "toaster"], "not to be had here"),
        (["--detail", "blocks"], "detail='blocks' is not one of 'auto', 'regions', 'smooth', 'pixels'"),
        (["--cmap", "shiny"], "cmap='shiny' is no colour map"),
    ],
)
def test_mistakes_end_in_one_sentence_and_leave_nothing_behind(classifier, tmp_path, change, message):
    photo = classifier["photos"] / "photo_0.png"
    result = shapsight("explain", photo, *options(classifier), *change, "--out", tmp_path / "run")
    assert result.exit_code == 1, result.output
    assert message in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_classifier_of_timm_is_explained_at_its_own_size(tmp_path):
    timm = pytest.importorskip("timm")
    network = timm.create_model("test_vit", num_classes=3)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    pixels = torch.randint(0, 256, (170, 180, 3), dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(tmp_path / "photo.png")
    (tmp_path / "classes.txt").write_text("cat\ndog\nhen")
    result = shapsight(
        "explain", tmp_path / "photo.png", "--arch", "timm:test_vit", "--weights", tmp_path / "weights.safetensors",
        "--classes", tmp_path / "classes.txt", "--masker", "mean", "--max-evals", 12, "--device", "cpu",
        "--outputs", "all", "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "run" / "explanations.csv")
    assert table["output"].tolist() == ["cat", "dog", "hen"]
    found = Explanation.load(tmp_path / "run" / table["explanation"][0])
    assert found.images.shape == (1, 3, 160, 160)
    with torch.no_grad():
        mean, std = (torch.tensor(network.pretrained_cfg[name]).reshape(3, 1, 1) for name in ("mean", "std"))
        torch.testing.assert_close(
            network.eval()((found.images - mean) / std), found.predictions, atol=1e-4, rtol=1e-4
        )


def test_a_classifier_of_timm_without_weights_has_nothing_to_explain():
    pytest.importorskip("timm")
    with pytest.raises(ModelError, match="nothing to explain"):
        build_classifier("timm:test_vit", 3, weights="none")


def test_without_an_architecture_a_run_and_an_image_are_needed(tmp_path):
    result = shapsight("explain", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "shapsight explain RUN IMAGE" in " ".join(result.stderr.split())


@pytest.mark.shared
def test_squeezenet_sees_the_egret_by_its_head_and_neck(shared, tmp_path):
    result = shapsight(
        "explain", shared / "data/imagenet50/sim_n02010272_1613.jpg",
        "--arch", "squeezenet1_1", "--weights", shared / "models/squeezenet1_1_imagenet.safetensors",
        "--classes", shared / "models/imagenet_classes.json",
        "--method", "partition", "--masker", "inpaint_telea", "--max-evals", 300, "--outputs", "top4",
        "--out", tmp_path / "egret",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "egret" / "explanations.csv")
    assert table["output"].iloc[0] == "American egret"
    assert len(table) == 4
    found = Explanation.load(tmp_path / "egret" / table["explanation"].iloc[0])
    heat = found.heatmap()[0, 0]
    bird = torch.zeros(224, 224, dtype=torch.bool)
    bird[40:115, 20:215] = True  # beak, head and the bend of the neck
    bird[115:224, 90:224] = True  # the neck and the back
    assert heat[bird].sum() > 0.75 * heat.sum()


def test_explain_takes_references_of_several_inputs():
    class Two(nn.Module):
        def forward(self, left, right):
            return (left * right).sum((1, 2, 3))

    images = (torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4))
    references = (torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4))
    explanations = explain(Two(), images, "gradient", references=references)
    assert len(explanations) == 2


@pytest.mark.parametrize("method", ["deep", "partition"])
def test_a_bundle_takes_an_array_as_it_takes_a_tensor(bundle, method):
    image = pictures(1)
    found = explain(bundle, image.permute(0, 2, 3, 1).numpy(), method)
    torch.testing.assert_close(found.values, explain(bundle, image, method).values)


def test_by_default_a_function_is_explained_by_partition_shap_and_a_network_by_deep_shap(bundle):
    assert explain(bundle, pictures(1)).method == "DeepSHAP"
    function = lambda batch: batch.reshape(len(batch), -1)[:, :3].astype(float)  # noqa: E731
    found = explain(function, pictures(1).permute(0, 2, 3, 1).numpy(), masker="mean", max_evals=20)
    assert found.method == "PartitionSHAP"
