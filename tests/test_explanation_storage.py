"""Explanations on disk: whole, in half precision with its error told, and files that are something else."""

import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from explanations import made, same
from shapsight import Explanation
from shapsight.errors import ExplainerError


def test_what_is_saved_is_loaded(tmp_path):
    whole = made(model_name="all rooms")
    again = Explanation.load(whole.save(tmp_path / "e.safetensors"))
    assert same(again, whole)
    assert torch.equal(again.std_errors, whole.std_errors) and torch.equal(again.unresolved, whole.unresolved)
    assert dict(again.settings) == dict(whole.settings)
    assert (again.method, again.model_name, again.output_names) == (
        whole.method,
        "all rooms",
        whole.output_names,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["e.safetensors"]


def test_views_bools_and_settings_that_json_does_not_know_are_saved(tmp_path):
    whole = made(settings={"seed": np.int64(3), "weights": torch.tensor([0.5]), "path": tmp_path})
    part = whole[:, 1]
    part = Explanation.load((part - part).save(tmp_path / "difference"))
    assert part.settings["first"]["settings"]["seed"] == 3
    loaded = Explanation.load(whole[1:].save(tmp_path / "part"))
    assert dict(loaded.settings) == {"seed": 3, "weights": [0.5], "path": str(tmp_path)}
    shared = made(predictions=(base := torch.zeros(3, 2)), base_values=base)
    assert same(Explanation.load(shared.save(tmp_path / "shared")), shared)


@given(st.floats(-30, 30), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_half_precision_is_off_by_no_more_than_it_says_and_its_sum_stays_right(tmp_path, power, seed):
    torch.manual_seed(seed)
    whole = made() * 2.0**power
    again = Explanation.load(whole.save(tmp_path / "half", dtype="float16"))
    largest = whole.values.abs().amax((2, 3, 4), keepdim=True)
    error = ((again.values - whole.values).abs() / largest).max().item()
    stored = again.settings["stored"]
    assert error <= stored["largest_error"] * 1.001 <= 2**-11
    change = (again.completeness_gap - whole.completeness_gap).abs().max().item()
    assert change == pytest.approx(stored["largest_gap_change"], rel=1e-3, abs=1e-30)
    total = again.base_values.double() + again.values.double().sum((2, 3, 4)) + again.completeness_gap
    size = float(again.predictions.abs().max() + again.values.abs().sum((2, 3, 4)).max())
    torch.testing.assert_close(total, again.predictions.double(), rtol=0, atol=1e-6 * size)
    assert again.values.dtype == torch.float32
    np.testing.assert_allclose(again.std_errors, whole.std_errors, rtol=1e-3)


def test_half_precision_is_half_the_size_and_is_told_by_file_and_repr(tmp_path):
    whole = made(size=(64, 64))
    full, half = whole.save(tmp_path / "full"), whole.save(tmp_path / "half", dtype=torch.float16)
    assert half.stat().st_size < 0.52 * full.stat().st_size
    assert load_file(half)["values"].dtype == torch.float16
    assert "stored as float16, off by up to" in repr(Explanation.load(half))
    with pytest.raises(ExplainerError, match=r"as they are .* or as 'float16'"):
        whole.save(tmp_path / "e", dtype=torch.int8)


def test_nan_zero_and_large_images_survive_half_precision(tmp_path):
    values = torch.zeros(3, 2, 3, 6, 5)
    values[0, 0, 0, 0, 0] = float("nan")
    values[1, 1, 0, 0, :2] = torch.tensor([float("inf"), 3.0])
    whole = made(values=values, images=torch.rand(3, 3, 6, 5) * 65535)
    again = Explanation.load(whole.save(tmp_path / "e", dtype="float16"))
    np.testing.assert_array_equal(again.values, values)
    torch.testing.assert_close(again.images, whole.images, rtol=1e-3, atol=20)
    assert again.settings["stored"]["largest_error"] == 0


def test_others_may_read_the_file_as_any_other(tmp_path):
    (tmp_path / "other").touch()
    assert made().save(tmp_path / "e").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_files_of_version_1_are_read(tmp_path):
    whole = made()
    tensors = {name: getattr(whole, name) for name in ("values", "base_values", "predictions", "images")}
    tensors |= {"completeness_gap": whole.completeness_gap, "output_index": whole.output_index}
    card = {"output_names": ["a"], "method": "DeepSHAP", "settings": {"references": 3}}
    metadata = {"format": "shapsight.explanation/1", "card": json.dumps(card)}
    save_file(tensors, tmp_path / "old", metadata=metadata)
    again = Explanation.load(tmp_path / "old")
    assert same(again, whole) and again.model_name == "" and again.settings["references"] == 3


def written(tmp_path, metadata, tensors=None):
    save_file(tensors or {"values": torch.zeros(1)}, tmp_path / "e", metadata=metadata)
    return tmp_path / "e"


@pytest.mark.parametrize(
    "metadata, words",
    [
        ({"format": "shapsight.explanation/9", "card": "{}"}, "is of version 9; this shapsight reads .* update"),
        ({"format": "shapsight.model/1"}, "not an explanation of shapsight: its format is 'shapsight.model/1'"),
        (None, "its format is None"),
        ({"format": "shapsight.explanation/2"}, "its metadata cannot be read"),
        ({"format": "shapsight.explanation/2", "card": "{"}, "its metadata cannot be read"),
        ({"format": "shapsight.explanation/2", "card": "[]"}, "its metadata cannot be read"),
        (
            {"format": "shapsight.explanation/2", "card": '{"output_names": [], "settings": {}}'},
            "it holds no base_values, predictions",
        ),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_or_version_is_refused_with_what_it_is(tmp_path, metadata, words):
    with pytest.raises(ExplainerError, match=words):
        Explanation.load(written(tmp_path, metadata))


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_damaged(tmp_path, share):
    path = made().save(tmp_path / "e")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ExplainerError, match="damaged, cut short or not a safetensors file"):
        Explanation.load(path)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def test_a_pickle_is_refused_and_never_opened(tmp_path):
    path = tmp_path / "e.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ExplainerError, match="not a safetensors file"):
        Explanation.load(path)
    torch.save({"values": torch.zeros(1)}, path)
    with pytest.raises(ExplainerError, match="not a safetensors file"):
        Explanation.load(path)


def test_no_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ExplainerError, match="there is no explanation at"):
        Explanation.load(tmp_path / "none")
    with pytest.raises(ExplainerError, match="is a folder"):
        Explanation.load(tmp_path)


def test_a_file_that_cannot_be_written_leaves_nothing_behind_and_an_old_one_whole(tmp_path):
    with pytest.raises(ExplainerError, match=r"could not be written to .*nowhere"):
        made().save(tmp_path / "nowhere" / "e")
    old = made()
    path = old.save(tmp_path / "e")
    with pytest.raises(TypeError):
        made(settings={(1, 2): "a key that JSON does not take"}).save(path)
    assert same(Explanation.load(path), old)
    assert [found.name for found in tmp_path.iterdir()] == ["e"]
