"""The tokens of a vision transformer: where its patches come in, and running it on some of them only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from shapsight.attribution.shared.predictor import Predictor
from shapsight.errors import ExplainerError

How = Literal["drop", "zero"]
Call = tuple[nn.Module, tuple[int, ...]]  # a module that was called, and the shape of the first tensor it got
# A transformer whose patches may come in any order answers so alike when they do: as a share of what half of the
# patches change, and of the answer itself, which is rounded.
OF_CHANGE, OF_ANSWER = 1e-2, 1e-5


@dataclass(frozen=True, eq=False)
class Embedding:
    """The convolution that makes patches into tokens: its steps are as long as it is wide."""

    name: str
    module: nn.Conv2d
    image: tuple[int, int]

    @property
    def patch(self) -> tuple[int, int]:
        """Height and width of a patch, in pixels."""
        height, width = self.module.kernel_size
        return height, width

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image[0] // self.patch[0], self.image[1] // self.patch[1]

    @property
    def count(self) -> int:
        """How many patches there are."""
        return self.grid[0] * self.grid[1]

    @cached_property
    def labels(self) -> Int[Tensor, "height width"]:
        """Each pixel's patch, row by row; what a convolution leaves over at an edge goes with the last patch."""
        rows, columns = (
            torch.arange(side).div(size, rounding_mode="floor").clamp_max(count - 1)
            for side, size, count in zip(self.image, self.patch, self.grid, strict=True)
        )
        return rows[:, None] * self.grid[1] + columns

    def zeroed(self, kept: Bool[Tensor, "images patches"]) -> AbstractContextManager[None]:
        """Run it with the embeddings of the other patches 0; their positions, which are added later, stay."""
        return self._changed(lambda made: made * kept.reshape(len(kept), 1, *self.grid).to(made))

    def disturbed(self, which: Bool[Tensor, "images patches"]) -> AbstractContextManager[None]:
        """Run it with noise added to the embeddings of some patches, whatever they are."""

        def disturb(made: Tensor) -> Tensor:
            noise = torch.randn(made.shape[1], generator=torch.Generator().manual_seed(0)).to(made)
            places = which.reshape(len(which), 1, *self.grid).to(made)
            return made + places * noise[:, None, None] * made.abs().amax().clamp_min(1)

        return self._changed(disturb)

    @contextmanager
    def _changed(self, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        with _hooked(self.module.register_forward_hook(lambda _module, _given, made: change(made))):
            yield


@dataclass(frozen=True, eq=False)
class Blocks:
    """The transformer's blocks: where the first gets all tokens, the patches' among them from `start` on."""

    name: str
    first: nn.Module
    tokens: int
    start: int
    patches: int

    @contextmanager
    def without(self, kept: Bool[Tensor, "images patches"]) -> Iterator[None]:
        """Run them without the tokens of other patches, of which every image must have equally many."""
        chosen = kept.nonzero()[:, 1].reshape(len(kept), -1)
        before = torch.arange(self.start, device=kept.device).expand(len(kept), -1)
        behind = torch.arange(self.start + self.patches, self.tokens, device=kept.device).expand(
            len(kept), -1
        )
        with self.arranged(torch.cat([before, chosen + self.start, behind], 1)), ExitStack() as stack:
            if not chosen.shape[1]:
                stack.enter_context(_MeanOfNone())
            yield

    @contextmanager
    def arranged(self, order: Int[Tensor, "images tokens"]) -> Iterator[None]:
        """Run them on these tokens, in this order."""

        def arrange(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
            hidden = _first_tensor(given, named)
            assert hidden is not None
            rows = torch.arange(len(hidden), device=hidden.device)[:, None]
            return _with_first_tensor(given, named, hidden[rows, order.to(hidden.device)])

        with _hooked(self.first.register_forward_pre_hook(arrange, with_kwargs=True)):
            yield


class _MeanOfNone(TorchFunctionMode):
    """The mean over no patches, which some heads take, is 0."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        is_of_none = func in (torch.mean, Tensor.mean) and args[0].numel() == 0
        return torch.zeros_like(result) if is_of_none else result


@dataclass(frozen=True, eq=False)
class Removal:
    """How patches are taken away from a transformer: their tokens dropped before its blocks, or their content zeroed.

        removal = Removal.of(Predictor(model), image, "drop")
        kept = removal.kept(visible)                    # (coalitions, patches)
        with removal.without(kept[:1]):
            predictor(image[None])                      # what the model says without the other patches

    Raises `ExplainerError`, with what was looked for, for a model that has no such tokens.
    """

    embedding: Embedding
    blocks: Blocks | None

    @classmethod
    def of(cls, predictor: Predictor, image: Shaped[Tensor, "channels height width"], how: How) -> Removal:
        """Found in the model by running it on an image."""
        if not predictor.is_module:
            raise ExplainerError(
                'the masker "tokens" takes tokens away inside a torch module, and '
                f"{predictor.name} is a function that can only be asked: use another masker, such as inpaint_diffuse"
            )
        assert isinstance(predictor.predict, nn.Module)
        with predictor.held():
            predictor(image[None], "the whole image")  # of integers, the first answer takes several runs
            calls: list[Call] = []
            with _recorded(predictor.predict, calls):
                predictor(image[None], "the whole image")
            embedding = _embedding(predictor, image, calls)
            blocks = _blocks(predictor, image, calls, embedding) if how == "drop" else None
        return cls(embedding, blocks)

    @property
    def said(self) -> str:
        """What was found, in one line."""
        (rows, columns), (height, width) = self.embedding.grid, self.embedding.patch
        found = f"{rows} × {columns} patches of {height} × {width} pixels ({self.embedding.name})"
        if self.blocks is None:
            return f"{found}, whose embeddings are set to 0 where they are hidden"
        others = self.blocks.tokens - self.blocks.patches
        stay = "1 other token stays" if others == 1 else f"{others} other tokens stay"
        return f"{found}, whose tokens are dropped before {self.blocks.name}; {stay}"

    def kept(
        self, visible: Bool[Tensor, "coalitions channels_or_1 height width"]
    ) -> Bool[Tensor, "coalitions patches"]:
        """The patches of which at least half is visible."""
        patch = self.embedding.labels.flatten().to(visible.device)
        shares = visible.float().mean(1).flatten(1)
        sums = shares.new_zeros(len(shares), self.embedding.count).index_add_(1, patch, shares)
        return sums >= torch.bincount(patch) / 2

    def groups(self, kept: Bool[Tensor, "coalitions patches"], most: int) -> list[Int[Tensor, "group"]]:
        """Coalitions that can be run together, `most` at a time: where tokens are dropped, those that keep as many."""
        if self.blocks is None:
            return list(torch.split(torch.arange(len(kept), device=kept.device), most))
        counts = kept.sum(1)
        alike = [(counts == count).nonzero().flatten() for count in sorted(set(counts.tolist()))]
        return [part for group in alike for part in torch.split(group, most)]

    @contextmanager
    def without(self, kept: Bool[Tensor, "images patches"]) -> Iterator[None]:
        """Run the model on as many images, each with these patches alone."""
        with self.embedding.zeroed(kept) if self.blocks is None else self.blocks.without(kept):
            yield

    def snapped(self, labels: Int[Tensor, "height width"]) -> Int[Tensor, "height width"]:
        """Regions along the patches' borders: each patch goes to the region that most of its pixels are in."""
        patch, regions = self.embedding.labels.flatten(), int(labels.max()) + 1
        counts = torch.bincount(patch * regions + labels.flatten(), minlength=self.embedding.count * regions)
        own = counts.reshape(-1, regions).argmax(1)
        numbers, renumbered = np.unique(own.numpy(), return_inverse=True)
        if len(numbers) < 2:
            raise ExplainerError(
                "all patches of the transformer fall to one region, and a value of its own needs two: ask for regions "
                'larger than a patch, or regions="patches"'
            )
        return torch.from_numpy(renumbered)[self.embedding.labels]


def _embedding(predictor: Predictor, image: Tensor, calls: list[Call]) -> Embedding:
    height, width = image.shape[1:]
    found = [
        module
        for module, shape in calls
        if isinstance(module, nn.Conv2d)
        and tuple(shape[2:]) == (height, width)
        and tuple(module.kernel_size) == tuple(module.stride)
        and max(module.kernel_size) > 1
        and not any(module.padding if isinstance(module.padding, tuple) else ())
    ]
    if len(found) != 1:
        raise ExplainerError(
            f'the masker "tokens" finds no patches in {predictor.name}: it looks for one convolution of the whole '
            f"image ({height} × {width}) whose kernel is as large as its steps, as vision transformers begin with, and "
            f"there are {len(found)}. Another masker, such as inpaint_diffuse, works for any model"
        )
    return Embedding(_name_of(predictor, found[0]), found[0], (height, width))


def _blocks(predictor: Predictor, image: Tensor, calls: list[Call], embedding: Embedding) -> Blocks:
    assert isinstance(predictor.predict, nn.Module)
    shapes: dict[nn.Module, list[tuple[int, ...]]] = {}
    for module, shape in calls:
        shapes.setdefault(module, []).append(shape)
    stacks = [
        list(stack)
        for stack in predictor.predict.modules()
        if isinstance(stack, nn.ModuleList | nn.Sequential) and _is_of_blocks(stack, shapes, embedding.count)
    ]
    first = min((stack[0] for stack in stacks), key=list(shapes).index, default=None)
    if first is None:
        raise _refusal(
            predictor,
            "it looks for blocks of one kind, in a row, that each get all tokens as (images, tokens, channels), and "
            "there are none",
        )
    tokens = shapes[first][0][1]
    start = _start(predictor, image, embedding, first)
    blocks = Blocks(_name_of(predictor, first), first, tokens, start, embedding.count)
    _refuse_fixed_places(predictor, image, blocks)
    return blocks


def _is_of_blocks(
    stack: nn.ModuleList | nn.Sequential, shapes: dict[nn.Module, list[tuple[int, ...]]], patches: int
) -> bool:
    blocks = list(stack)
    if not blocks or len({type(block) for block in blocks}) > 1:
        return False
    if sum(isinstance(module, nn.Linear) for module in blocks[0].modules()) < 2:
        return False
    seen = shapes.get(blocks[0], [])
    return len(seen) == 1 and len(seen[0]) == 3 and seen[0][1] >= patches


def _start(predictor: Predictor, image: Tensor, embedding: Embedding, first: nn.Module) -> int:
    """Where the patches' tokens begin: those that change with the first and with the last patch."""
    which = torch.zeros(3, embedding.count, dtype=torch.bool)
    which[1, 0] = which[2, -1] = True
    seen: list[Tensor] = []

    def look(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        hidden = _first_tensor(given, named)
        seen.extend([] if hidden is None else [hidden])

    with embedding.disturbed(which), _hooked(first.register_forward_pre_hook(look, with_kwargs=True)):
        predictor(image.expand(3, *image.shape), "the image with a patch changed")
    change = (seen[0][1:] - seen[0][:1]).abs().amax(2)
    changed = [row.nonzero().flatten().tolist() for row in change > 1e-4 * change.max()]
    if [len(one) for one in changed] != [1, 1] or changed[1][0] - changed[0][0] != embedding.count - 1:
        raise _refusal(
            predictor, "its patches are mixed, or put in another order, before the blocks get them as tokens"
        )
    return int(changed[0][0])


def _refuse_fixed_places(predictor: Predictor, image: Tensor, blocks: Blocks) -> None:
    """Refuse blocks that know tokens by their place in the row: windows, rotary positions, convolutions between."""
    order = torch.arange(blocks.tokens)
    order[blocks.start : blocks.start + blocks.patches] = order[
        blocks.start : blocks.start + blocks.patches
    ].flip(0)
    half = torch.arange(blocks.patches) % 2 == 0

    def asked(run: AbstractContextManager[None], of: str) -> Float[Tensor, "outputs"]:
        with run:
            return predictor(image[None], of)[0]

    try:
        whole = asked(nullcontext(), "the whole image")
        turned = asked(blocks.arranged(order[None]), "its patches in another order")
        halved = asked(blocks.without(half[None]), "half of its patches")
        asked(
            blocks.without(torch.zeros_like(half)[None]), "none of its patches, with the other tokens alone"
        )
    except ExplainerError as error:
        raise _refusal(
            predictor,
            "it needs all of them, as models with windows, with positions inside the blocks, or without a class token "
            f"do ({error})",
        ) from error
    change = float((halved - whole).abs().max())
    allowed = OF_CHANGE * change + OF_ANSWER * float(whole.abs().max())
    if float((turned - whole).abs().max()) > allowed:
        raise _refusal(
            predictor,
            "its blocks know a token by its place in the row (windows, rotary or relative positions, convolutions, or "
            "an output for each token), so that the others would be taken for what they are not",
        )


def _refusal(predictor: Predictor, reason: str) -> ExplainerError:
    return ExplainerError(
        f'the masker "tokens" cannot drop patches of {predictor.name}: {reason}. "tokens(zero)" sets the embeddings of '
        "hidden patches to 0 instead, and leaves their positions"
    )


def _name_of(predictor: Predictor, module: nn.Module) -> str:
    assert isinstance(predictor.predict, nn.Module)
    names: dict[nn.Module, str] = {own: name for name, own in predictor.predict.named_modules()}
    return names[module]


@contextmanager
def _recorded(model: nn.Module, calls: list[Call]) -> Iterator[None]:
    """Note every module that is called, with the shape of the first tensor that it gets."""

    def note(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        tensor = _first_tensor(given, named)
        calls.append((module, () if tensor is None else tuple(tensor.shape)))

    with ExitStack() as stack:
        for module in model.modules():
            if not isinstance(module, torch.jit.ScriptModule):
                stack.enter_context(_hooked(module.register_forward_pre_hook(note, with_kwargs=True)))
        yield


@contextmanager
def _hooked(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def _first_tensor(given: tuple[Any, ...], named: dict[str, Any]) -> Tensor | None:
    return next((value for value in (*given, *named.values()) if isinstance(value, Tensor)), None)


def _with_first_tensor(
    given: tuple[Any, ...], named: dict[str, Any], tensor: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same arguments with another first tensor."""
    for number, value in enumerate(given):
        if isinstance(value, Tensor):
            return (*given[:number], tensor, *given[number + 1 :]), named
    key = next(key for key, value in named.items() if isinstance(value, Tensor))
    return given, {**named, key: tensor}
