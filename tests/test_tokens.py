"""Patches of vision transformers taken away inside them: what that is, and which models have none."""

import itertools
import math

import pytest
import timm
import torch
import torchvision
import transformers as hf
from torch import nn

import shapsight as ss
from shapsight.attribution.maskers import as_masker
from shapsight.attribution.shared.game import Game
from shapsight.attribution.shared.predictor import Predictor
from shapsight.attribution.tokens import Removal
from shapsight.errors import ExplainerError

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
IMAGE = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(5))


def lively(model: nn.Module) -> nn.Module:
    """Weights large enough that every patch moves the answer."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter.numel():
                parameter.normal_(0, 0.2, generator=generator)
            elif parameter.abs().max() < 1e-3:
                parameter.fill_(0.3)
    return model.eval()


def timm_vit(**options) -> nn.Module:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 5}
    return lively(timm.models.VisionTransformer(**{**sizes, **options}))


def transformers_of_all_kinds() -> dict[str, tuple[nn.Module, str | None]]:
    distilled = timm.models.deit.VisionTransformerDistilled(
        img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=5
    )
    return {
        "timm ViT": (timm_vit(), None),
        "timm DeiT": (lively(distilled), None),
        "timm DINOv2": (
            timm_vit(reg_tokens=4, init_values=0.5, dynamic_img_size=True, no_embed_class=True),
            None,
        ),
        "timm CLIP": (timm_vit(pre_norm=True), None),
        "ViT": (lively(hf.ViTForImageClassification(hf.ViTConfig(**SMALL))), None),
        "DeiT": (lively(hf.DeiTForImageClassification(hf.DeiTConfig(**SMALL))), None),
        "DINOv2": (lively(hf.Dinov2ForImageClassification(hf.Dinov2Config(**SMALL))), None),
        "CLIP": (
            lively(hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(projection_dim=4, **SMALL))),
            "image_embeds",
        ),
        "torchvision": (
            lively(torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=5)),
            None,
        ),
    }


KINDS = transformers_of_all_kinds()


def coalitions(count: int = 12) -> torch.Tensor:
    """Random patches, with none and all of them among them."""
    kept = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(2)) > 0.5
    kept[0], kept[1] = False, True
    return kept


def pixels(kept: torch.Tensor) -> torch.Tensor:
    return kept.repeat_interleave(8, 2).repeat_interleave(8, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hidden_patch_has_no_say_whatever_it_shows(kind):
    model, output = KINDS[kind]
    kept = coalitions()
    other = torch.where(pixels(kept[2:3])[0], IMAGE, 1 - IMAGE)
    games = [Game(Predictor(model, output=output), as_masker("tokens"), image) for image in (IMAGE, other)]
    one, two = (game.values(pixels(kept[2:3])) for game in games)
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
    assert (games[0].full() - games[1].full()).abs().max() > 1e-2


@pytest.mark.parametrize("options", [{}, {"reg_tokens": 4}, {"class_token": False, "global_pool": "avg"}])
def test_dropping_tokens_is_attention_without_their_keys(options):
    model = timm_vit(**options)
    kept = coalitions()[1:]
    found = Game(Predictor(model), as_masker("tokens"), IMAGE, batch_size=4).values(pixels(kept))
    others = model.num_prefix_tokens
    keys = torch.cat([torch.ones(len(kept), others, dtype=torch.bool), kept.flatten(1)], 1)
    mask = torch.zeros(len(kept), 1, 1, keys.shape[1]).masked_fill(~keys[:, None, None], -torch.inf)
    with torch.no_grad():
        tokens = model.forward_features(IMAGE.expand(len(kept), -1, -1, -1), attn_mask=mask)
        if "global_pool" in options:
            pooled = (tokens * keys[..., None]).sum(1) / keys.sum(1, keepdim=True)
            expected = model.head(model.fc_norm(pooled))
        else:
            expected = model.forward_head(tokens)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_zeroing_embeddings_is_what_shapiq_plays_with_hugging_faces_mask_tokens():
    model, _ = KINDS["ViT"]
    kept = coalitions()
    found = Game(Predictor(model), as_masker("tokens(zero)"), IMAGE).values(pixels(kept))
    model.vit.embeddings.mask_token = nn.Parameter(torch.zeros(1, 1, 32))
    try:
        with torch.no_grad():
            hidden = model.vit.embeddings(
                IMAGE.expand(len(kept), -1, -1, -1), bool_masked_pos=~kept.flatten(1)
            )
            for layer in model.vit.layers:
                hidden = layer(hidden, None)
            expected = model.classifier(model.vit.layernorm(hidden)[:, 0])
    finally:
        model.vit.embeddings.mask_token = None
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_with_no_patch_left_the_class_token_answers_alone_and_a_mean_over_patches_is_0():
    model, _ = KINDS["DINOv2"]
    empty = Game(Predictor(model), as_masker("tokens"), IMAGE).empty()
    with torch.no_grad():
        hidden = model.dinov2.embeddings(IMAGE[None])[:, :1]
        for layer in model.dinov2.encoder.layer:
            hidden = layer(hidden)
        alone = model.dinov2.layernorm(hidden)[:, 0]
        expected = model.classifier(torch.cat([alone, torch.zeros_like(alone)], 1))[0]
    torch.testing.assert_close(empty, expected)


@pytest.mark.parametrize("kind", ["timm ViT", "DINOv2"])
def test_values_of_regions_are_shapley_values_of_dropped_tokens_by_brute_force(kind):
    model, output = KINDS[kind]
    found = ss.RegionShap(model, "tokens", "grid(2,2)", output=output).by_region(IMAGE[None])
    labels = torch.arange(2).repeat_interleave(16)[:, None] * 2 + torch.arange(2).repeat_interleave(16)
    torch.testing.assert_close(found.labels[0], labels)
    game = Game(Predictor(model, output=output), as_masker("tokens"), IMAGE)
    worth = {}
    for size in range(5):
        for members in itertools.combinations(range(4), size):
            visible = torch.isin(labels, torch.tensor(members, dtype=torch.long))[None, None]
            worth[frozenset(members)] = game.values(visible)[0].double()
    for player in range(4):
        value = sum(
            (worth[s | {player}] - worth[s]) * math.factorial(len(s)) * math.factorial(3 - len(s)) / 24
            for s in worth
            if player not in s
        )
        torch.testing.assert_close(found.values[0, :, player].double(), value, rtol=1e-4, atol=1e-5)


def test_owen_values_follow_a_tree_of_patches_and_are_complete():
    model, _ = KINDS["timm ViT"]
    for tree in ("regions", "axis"):
        found = ss.PartitionShap(model, "tokens", tree, max_evals=200, contexts="both")(
            IMAGE[None], outputs=[1]
        )
        blocks = found.values[0, 0, 0].unfold(0, 8, 8).unfold(1, 8, 8).flatten(2)
        torch.testing.assert_close(blocks, blocks[..., :1].expand_as(blocks))
        torch.testing.assert_close(
            found.values.sum((2, 3, 4)), found.predictions - found.base_values, rtol=1e-4, atol=1e-5
        )
        assert found.settings["masker"] == "tokens"
        assert found.settings["tokens"] == (
            "4 × 4 patches of 8 × 8 pixels (patch_embed.proj), whose tokens are dropped before blocks.0; 1 other token "
            "stays"
        )


class Planted(nn.Module):
    """A transformer whose class token looks for the patches that are bright, and answers how bright they are."""

    def __init__(self) -> None:
        super().__init__()
        self.net = timm_vit(depth=1, num_classes=1)
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.zero_()
            self.net.patch_embed.proj.weight[0].fill_(1 / 192)  # channel 0: a patch's brightness
            block = self.net.blocks[0]
            block.norm1 = block.norm2 = self.net.norm = nn.Identity()
            block.attn.qkv.weight[64, 0] = 1.0  # what is attended to, all alike: its brightness
            block.attn.proj.weight[1, 0] = 1.0
            self.net.head.weight[0, 1] = 1.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)


def test_a_planted_patch_is_found_with_the_value_that_it_has():
    image = torch.zeros(3, 32, 32)
    image[:, 8:16, 16:24] = 1.0  # patch 6
    found = ss.RegionShap(Planted(), "tokens", "patches").by_region(image[None])
    # the mean of brightness over the class token (0) and the patches that are left: 1 / (kept + 1) with patch 6
    expected = torch.zeros(16, dtype=torch.float64)
    for size in range(16):  # of the others that came before
        expected[6] += 1 / (size + 2) / 16
    for size in range(15):  # each other one dilutes it, where it comes after
        before_with = (size + 1) / 16 / 15  # place size + 1 of 16, and patch 6 among those before
        expected[torch.arange(16) != 6] += before_with * (1 / (size + 3) - 1 / (size + 2))
    torch.testing.assert_close(found.values[0, 0].double(), expected, rtol=1e-4, atol=1e-6)


def test_regions_end_where_patches_do():
    model, _ = KINDS["timm ViT"]
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[3:19, 3:19] = True
    found = ss.RegionShap(model, "tokens", mask).by_region(IMAGE[None])
    expected = torch.zeros(32, 32, dtype=torch.long)
    expected[:16, :16] = 1
    expected[:8, :8] = 0  # 25 of its 64 pixels are in the mask
    torch.testing.assert_close(found.labels[0], expected)
    mask[:] = False
    mask[3:6, 3:6] = True
    with pytest.raises(ExplainerError, match="all patches of the transformer fall to one region"):
        ss.RegionShap(model, "tokens", mask).by_region(IMAGE[None])


def test_values_are_the_same_in_any_batch_and_the_model_is_left_as_it_was_found():
    model, _ = KINDS["ViT"]
    model.train()
    visible = pixels(coalitions())
    found = [
        Game(Predictor(model), as_masker("tokens"), IMAGE, batch_size=size).values(visible)
        for size in (1, 3, 50)
    ]
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    model.eval()


def test_a_bundle_and_explain_take_tokens_by_name():
    model = timm_vit()
    bundle = ss.Bundle.wrap(model, size=32, outputs=list("abcde"))
    picture = (IMAGE * 255).to(torch.uint8)[None]
    found = ss.explain(
        bundle, picture, "regions", "b", masker="tokens", regions="grid(4,4)", estimator="kernel"
    )
    direct = ss.RegionShap(model, "tokens", "grid(4,4)", "kernel")(picture / 255, outputs=1)
    torch.testing.assert_close(found.values, direct.values, rtol=1e-4, atol=1e-6)


REFUSED = {
    "a convolutional network": (torchvision.models.resnet18, 64, r"there are 0\. Another masker"),
    "windows": (
        lambda: timm.models.SwinTransformer(
            img_size=32, patch_size=2, embed_dim=8, depths=(2,), num_heads=(2,), window_size=4
        ),
        32,
        r"there are none\. \"tokens\(zero\)\"",
    ),
    "windows in rows": (
        lambda: hf.SwinForImageClassification(
            hf.SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[2], num_heads=[2], window_size=4)
        ),
        32,
        "it needs all of them, as models with windows",
    ),
    "rotary positions": (
        lambda: timm.models.Eva(
            img_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=4, use_rot_pos_emb=True
        ),
        32,
        "it needs all of them, as models with windows, with positions inside",
    ),
    "a head that needs a patch": (
        lambda: timm_vit(class_token=False, global_pool="max"),
        32,
        "none of its patches, with the other tokens alone",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_models_whose_tokens_cannot_be_dropped_are_refused_with_the_reason(why):
    make, size, words = REFUSED[why]
    model = lively(make())
    with pytest.raises(ExplainerError, match=words):
        Removal.of(Predictor(model), torch.rand(3, size, size), "drop")


class Mixing(nn.Module):
    """Blocks between which neighbouring tokens are mixed: of all tokens, in any number, but in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.net = timm_vit()
        block = self.net.blocks[1]
        inner = block.forward
        block.forward = lambda x, **named: inner(x + x.roll(1, 1) * x[:, :1].sigmoid(), **named)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)


def test_blocks_that_know_a_token_by_its_place_are_refused_though_they_run():
    with pytest.raises(ExplainerError, match="know a token by its place in the row"):
        Removal.of(Predictor(Mixing()), IMAGE, "drop")


def test_functions_and_other_words_are_refused():
    with pytest.raises(ExplainerError, match="a function that can only be asked"):
        ss.RegionShap(lambda images: images.mean((1, 2)), "tokens", "grid(2,2)")(IMAGE[None])
    with pytest.raises(ExplainerError, match="they go with masker"):
        ss.RegionShap(timm_vit(), "mean", "patches")(IMAGE[None])
    with pytest.raises(ExplainerError, match="is not a masker"):
        as_masker("tokens(one)")
    with pytest.raises(ExplainerError, match="neither 'drop' nor 'zero'"):
        ss.maskers.Tokens("hide")


def test_embeddings_of_windowed_transformers_are_zeroed():
    model = lively(REFUSED["windows"][0]())
    visible = pixels(coalitions())
    found = Game(Predictor(model), as_masker("tokens(zero)"), IMAGE).values(visible)
    with torch.no_grad():
        torch.testing.assert_close(found[1], model(IMAGE[None])[0], rtol=1e-4, atol=1e-5)
    assert found.std(0).max() > 1e-3
