"""`shapsight.remedies` in a training loop of the user's own: any sample of tv_tensors, and clear refusals."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

import shapsight
from discs import disc
from shapsight import remedies
from shapsight.errors import DataError, ModelError

SIZE = 28
SCENES = torch.full((2, 3, SIZE, SIZE), 40, dtype=torch.uint8)
NEED_REGION = {
    "SwapScene": remedies.SwapScene(SCENES, 1.0),
    "MixScenes": remedies.MixScenes(SCENES, 1.0),
    "EraseScene": remedies.EraseScene(1.0),
    "EraseObjects": remedies.EraseObjects(1.0),
}
NEED_NONE = {
    "Light": remedies.Light(1.0),
    "SensorNoise": remedies.SensorNoise(),
    "JpegArtefacts": remedies.JpegArtefacts(),
}


def sample(x: int = 8, y: int = 20) -> tuple[tv_tensors.Image, tv_tensors.Mask, torch.Tensor]:
    """A white disc at (x, y) of a brown wall, the lower half as region, and the target in [-1, 1]."""
    picture = torch.from_numpy(disc(x, y, SIZE, SIZE, (120, 60, 30))).permute(2, 0, 1).contiguous()
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[SIZE // 2 :] = True
    return (
        tv_tensors.Image(picture),
        tv_tensors.Mask(mask),
        torch.tensor([2 * x / SIZE - 1, 2 * y / SIZE - 1]),
    )


def test_every_change_of_images_that_cure_tries_is_a_public_class():
    scenes = remedies.Scenes.of(SCENES)
    for remedy in remedies.REMEDIES.values():
        if remedy.make is not None:
            kind = type(remedy.make(scenes))
            assert getattr(shapsight.remedies, kind.__name__) is kind


@pytest.mark.parametrize("name", NEED_REGION)
def test_a_scene_is_changed_in_a_tuple_a_dict_and_a_nested_sample_alike(name):
    image, mask, target = sample()
    changed = []
    for given, at in [
        ((image, mask, target), lambda found: found),
        ({"a": image, "roi": mask, "t": target}, lambda found: (found["a"], found["roi"], found["t"])),
        ([{"x": (image, "kept")}, [mask, target]], lambda found: (found[0]["x"][0], *found[1])),
    ]:
        torch.manual_seed(3)
        after, region, value = at(NEED_REGION[name](given))
        assert type(after) is tv_tensors.Image
        assert torch.equal(region, mask)
        assert value is target
        inside = mask.as_subclass(torch.Tensor)
        assert torch.equal(after[:, inside], image[:, inside])
        assert not torch.equal(after, image)
        changed.append(after)
    assert torch.equal(changed[0], changed[1])
    assert torch.equal(changed[0], changed[2])


@pytest.mark.parametrize("name", NEED_REGION)
def test_a_mask_with_a_channel_or_of_0_and_255_is_the_same_region(name):
    image, mask, _ = sample()
    changed = []
    for kind in (mask, mask[None], 255 * mask.byte()):
        torch.manual_seed(3)
        changed.append(NEED_REGION[name](image, tv_tensors.Mask(kind))[0])
    assert torch.equal(changed[0], changed[1])
    assert torch.equal(changed[0], changed[2])


@pytest.mark.parametrize("name", NEED_NONE)
def test_a_plain_tensor_is_taken_for_the_picture_and_other_tensors_stay(name):
    image, _, target = sample()
    plain = image.as_subclass(torch.Tensor)
    after, same = NEED_NONE[name](plain, target)
    assert type(after) is torch.Tensor
    assert after.dtype == torch.uint8
    assert not torch.equal(after, plain)
    assert same is target


@pytest.mark.parametrize("name", NEED_REGION)
def test_a_remedy_that_needs_the_region_says_so_without_one(name):
    image, mask, _ = sample()
    with pytest.raises(
        DataError, match=rf"{name} needs to know the region.*holds no masks.*tv_tensors\.Mask"
    ):
        NEED_REGION[name](image)
    with pytest.raises(DataError, match="holds 2 masks"):
        NEED_REGION[name](image, mask, mask)
    with pytest.raises(DataError, match=r"mask of shape \(5, 28\).*must be \(28, 28\)"):
        NEED_REGION[name](image, tv_tensors.Mask(mask[:5]))


@pytest.mark.parametrize("name", [*NEED_REGION, *NEED_NONE])
def test_what_is_no_picture_of_8_bits_is_refused_with_what_to_do(name):
    transform = (NEED_REGION | NEED_NONE)[name]
    image, mask, _ = sample()
    with pytest.raises(DataError, match=r"float32 of shape \(3, 28, 28\): put it before v2.ToDtype"):
        transform(tv_tensors.Image(image / 255), mask)
    with pytest.raises(DataError, match=r"uint8 of shape \(2, 3, 28, 28\).*batches"):
        transform(tv_tensors.Image(torch.stack([image, image])), mask)
    with pytest.raises(DataError, match=r"uint8 of shape \(1, 28, 28\)"):
        transform(tv_tensors.Image(image[:1]), mask)
    with pytest.raises(DataError, match=r"the sample holds none.*v2\.ToImage\(\)"):
        transform(v2.functional.to_pil_image(image), mask)


@pytest.mark.parametrize("kind", [remedies.Flip, remedies.Light, remedies.Noise, remedies.EraseObjects])
def test_a_share_outside_0_and_1_is_refused(kind):
    with pytest.raises(DataError, match=r"share=1\.5 is no share"):
        kind(1.5)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (8, 20), (28, 14)])
def test_points_of_a_mirror_image_are_those_of_the_picture_that_was_drawn_mirrored(x, y):
    image, mask, target = sample(x, y)
    transform = v2.Compose([remedies.Flip(1.0), v2.Lambda(remedies.from_points, tv_tensors.KeyPoints)])
    after, _, found = transform(image, mask, remedies.as_points(target, mask.shape))
    drawn, _, wanted = sample(SIZE - x, y)
    assert torch.equal(after, drawn)
    torch.testing.assert_close(found, wanted)
    assert type(found) is torch.Tensor
    assert found.dtype == torch.float32


def test_points_keep_their_number_and_are_pixels_whose_centres_are_whole_numbers():
    targets = torch.tensor([[-1.0, -1.0], [1.0, 0.0], [0.25, 0.5]])
    points = remedies.as_points(targets, (20, 40))
    torch.testing.assert_close(
        points.as_subclass(torch.Tensor).float(), torch.tensor([[-0.5, -0.5], [39.5, 9.5], [24.5, 14.5]])
    )
    assert points.canvas_size == (20, 40)
    torch.testing.assert_close(remedies.from_points(points), targets)


def test_targets_that_are_no_places_and_points_that_lost_their_image_are_refused():
    with pytest.raises(DataError, match=r"\(2,\) or \(points, 2\), x and y, not \(1,\).*steering"):
        remedies.as_points(torch.zeros(1), (8, 8))
    with pytest.raises(DataError, match="not a Tensor: use it before"):
        remedies.from_points(torch.zeros(1, 2))


def test_scenes_come_from_a_folder_and_are_cropped_in_the_middle_to_the_proportions_of_the_image(tmp_path):
    wide = np.zeros((30, 90, 3), np.uint8)
    wide[:, 30:60] = 200  # the middle square, all that is read of a photograph
    (tmp_path / "inside").mkdir()
    Image.fromarray(wide).save(tmp_path / "inside" / "wide.png")
    image, mask = torch.zeros(3, 20, 40, dtype=torch.uint8), torch.zeros(20, 40, dtype=torch.bool)
    mask[:, :2] = True
    after, _ = remedies.SwapScene(tmp_path, 1.0)(tv_tensors.Image(image), tv_tensors.Mask(mask))
    assert (after[:, :, 4:] == 200).all()
    tall = torch.zeros(1, 3, 100, 40, dtype=torch.uint8)
    tall[:, :, 40:60] = 200  # rows that a picture twice as wide as high can show
    after, _ = remedies.SwapScene(tall, 1.0)(tv_tensors.Image(image), tv_tensors.Mask(mask))
    assert (after[:, :, 4:] == 200).all()


def test_a_track_in_a_scene_of_another_size_is_filled_in():
    scene = torch.full((1, 3, 60, 60), 40, dtype=torch.uint8)
    hidden = torch.zeros(1, 60, 60, dtype=torch.bool)
    hidden[:, 11:20, 7:33] = True
    scene[:, :, hidden[0]] = 255
    image, mask, _ = sample()
    swap = remedies.SwapScene(remedies.Scenes(scene, hidden, torch.tensor([0])), 1.0)
    for _ in range(4):
        assert (swap(image, mask)[0][:, :12] < 60).all()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: remedies.SwapScene("nowhere"), "nowhere"),
        (lambda: remedies.SwapScene(torch.rand(2, 3, 8, 8)), "float32 of shape"),
        (lambda: remedies.SwapScene(SCENES[:0]), "no picture"),
        (lambda: remedies.Scenes(SCENES, torch.zeros(2, 5, 5).bool(), torch.zeros(2)), "came with masks"),
    ],
)
def test_scenes_that_cannot_be_pasted_are_refused_at_once(make, complaint):
    with pytest.raises(DataError, match=complaint):
        make()


class Photos(torch.utils.data.Dataset):
    def __init__(self, transform: v2.Transform) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 12

    def __getitem__(self, number: int):
        image, mask, target = sample(2 * number + 2)
        return self.transform(image, mask, remedies.as_points(target, mask.shape))


def test_a_plain_loop_learns_through_all_of_them_together():
    transform = v2.Compose(
        [
            remedies.Flip(),
            *NEED_REGION.values(),
            remedies.Light(),
            remedies.ColorJitter(),
            remedies.Noise(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Lambda(remedies.from_points, tv_tensors.KeyPoints),
        ]
    )
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 2))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        for images, masks, targets in DataLoader(Photos(transform), 6, shuffle=True):
            outputs = model(images.requires_grad_())
            loss = F.mse_loss(outputs, targets)
            total = loss + remedies.right_reasons(outputs, images, masks, strength=0.01)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            losses.append(loss.item())
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])


def test_a_step_with_the_penalty_shrinks_a_linear_models_weights_outside_by_the_closed_form():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 5 * 5, 1, bias=False)).double()
    images = torch.randn(3, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    masks = torch.zeros(3, 5, 5, dtype=torch.bool)
    masks[:, 2:] = True
    before = model[1].weight.detach().view(2, 5, 5).clone()
    outputs = model(images)
    remedies.right_reasons(outputs, images, masks[:, None], strength=3.0).backward()
    torch.optim.SGD(model.parameters(), 0.05).step()
    wanted = before.clone()
    wanted[:, :2] *= 1 - 0.05 * 2 * 3.0
    torch.testing.assert_close(model[1].weight.detach().view(2, 5, 5), wanted)


def test_the_penalty_of_a_network_is_its_finite_differences_outside():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(36, 1)).double()
    images = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    masks = torch.rand(2, 5, 5) < 0.5
    found = remedies.right_reasons(network(images), images, masks, strength=2.0)
    step, wanted = 1e-6, 0.0
    for place in np.ndindex(3, 5, 5):
        nudge = torch.zeros(1, 3, 5, 5, dtype=torch.float64)
        nudge[(0, *place)] = step
        with torch.no_grad():
            slopes = (network(images + nudge) - network(images - nudge))[:, 0] / (2 * step)
        wanted += (slopes.square() * ~masks[:, place[1], place[2]]).sum()
    torch.testing.assert_close(found, 2.0 * wanted / 2, rtol=1e-6, atol=0)


def test_a_penalty_without_gradients_by_the_images_says_what_to_do():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    images, masks = torch.rand(2, 3, 2, 2), torch.ones(2, 2, 2).bool()
    with pytest.raises(ModelError, match=r"images\.requires_grad_\(\) before the model"):
        remedies.right_reasons(model(images), images, masks)
    images.requires_grad_()
    with pytest.raises(ModelError, match="the tensor the model was given"):
        remedies.right_reasons(model(images.detach() * 1), images, masks)
    with torch.no_grad(), pytest.raises(ModelError, match="no_grad"):
        remedies.right_reasons(model(images), images, masks)
    with pytest.raises(DataError, match=r"masks of shape \(2, 3, 2\) do not fit"):
        remedies.right_reasons(model(images), images, torch.ones(2, 3, 2))
