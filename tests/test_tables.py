"""Tables as people and cars write them: indices, spreadsheets, no header, paths of other computers, tubs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from shapsight.data.readers import read_dataset
from shapsight.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "IMG").mkdir()
    for number in range(12):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / "IMG" / f"{number}.jpg")
    return tmp_path


def frame(**columns: object) -> pd.DataFrame:
    given = {"path": [f"IMG/{n}.jpg" for n in range(12)], "steering": np.linspace(-0.8, 0.8, 12)}
    return pd.DataFrame(given | columns)


def values(manifest, target: str = "steering") -> list[float]:
    """In the order of the pictures' numbers."""
    table = manifest.table
    return (
        table.set_index(table["path"].str.extract(r"(\d+)\.jpg")[0].astype(int))[target].sort_index().tolist()
    )


def test_an_index_that_pandas_wrote_is_no_target_and_that_is_said(folder):
    frame().to_csv(folder / "drive.csv")  # with its index
    manifest = read_dataset(folder / "drive.csv")
    assert manifest.targets == ("steering",)
    assert "Rows or time: Unnamed: 0 is no target; --targets takes it all the same." in manifest.notes


@pytest.mark.parametrize(
    "name",
    ["_index", "index", "timestamp", "_timestamp_ms", "time", "frame_id", "Unnamed: 3", "id", "_session"],
)
def test_columns_that_count_rows_or_tell_the_time_are_no_targets(folder, name):
    frame(**{name: range(12)}).to_csv(folder / "drive.csv", index=False)
    assert read_dataset(folder / "drive.csv").targets == ("steering",)


@pytest.mark.parametrize("name", ["t", "stamp"])
def test_a_column_of_times_under_any_name_is_no_target_unless_it_is_named(folder, name):
    frame(**{name: 1.7e12 + 50 * np.arange(12)}).to_csv(folder / "drive.csv", index=False)
    assert read_dataset(folder / "drive.csv").targets == ("steering",)
    assert read_dataset(folder / "drive.csv", targets=[name]).targets == (name,)


@pytest.mark.parametrize("name", ["speed", "distance_ahead", "width_of_lane", "midline", "identity_score"])
def test_other_columns_of_numbers_stay_targets(folder, name):
    frame(**{name: range(12)}).to_csv(folder / "drive.csv", index=False)
    assert read_dataset(folder / "drive.csv").targets == ("steering", name)


def test_paths_with_backslashes_spaces_and_of_other_computers_are_found(folder):
    paths = [f"IMG\\{n}.jpg" for n in range(4)] + [f" IMG/{n}.jpg" for n in range(4, 6)]
    paths += [f"C:\\Users\\me\\IMG\\{n}.jpg" for n in range(6, 9)] + [
        f"/home/me/IMG/{n}.jpg" for n in range(9, 12)
    ]
    frame(path=paths).to_csv(folder / "drive.csv", index=False)
    manifest = read_dataset(folder / "drive.csv")
    np.testing.assert_allclose(values(manifest), frame()["steering"])
    assert any("6 paths are those of another computer" in note for note in manifest.notes)


def test_a_path_that_leads_outside_is_not_looked_for_inside(folder):
    frame(path=[f"../IMG/{n}.jpg" for n in range(12)]).to_csv(folder / "drive.csv", index=False)
    with pytest.raises(DataError, match="outside the table's folder"):
        read_dataset(folder / "drive.csv")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
@pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
def test_tables_of_spreadsheets_are_read(folder, separator, encoding):
    table = frame()
    rows = [separator.join((row.path, f"{row.steering:.17g}")) for row in table.itertuples()]
    (folder / "drive.CSV").write_text("\n".join([f"path{separator}steering", *rows]), encoding=encoding)
    manifest = read_dataset(folder / "drive.CSV")
    assert manifest.targets == ("steering",)
    np.testing.assert_allclose(values(manifest), table["steering"])


def test_decimal_commas_are_read_where_semicolons_separate(folder):
    table = frame()
    table.to_csv(folder / "drive.csv", index=False, sep=";", decimal=",")
    np.testing.assert_allclose(values(read_dataset(folder / "drive.csv")), table["steering"])


def test_json_lines_with_a_byte_order_mark_are_read(folder):
    lines = frame().to_json(orient="records", lines=True)
    (folder / "drive.jsonl").write_text(lines, encoding="utf-8-sig")
    assert read_dataset(folder / "drive.jsonl").targets == ("steering",)


def test_the_only_column_of_image_names_holds_the_paths_and_that_is_said(folder):
    frame().rename(columns={"path": "photo of the road"}).to_csv(folder / "drive.csv", index=False)
    assert "the paths are in column photo of the road" in read_dataset(folder / "drive.csv").notes[0]


def test_a_driving_log_without_a_header_is_read(folder):
    """As Udacity's simulator writes it: three cameras, steering, throttle, brake, speed."""
    steering = np.linspace(-0.8, 0.8, 12)
    lines = [
        f"/home/me/drive/IMG/{n}.jpg, /home/me/drive/IMG/l{n}.jpg, /home/me/drive/IMG/r{n}.jpg, {steering[n]}, 0.5, 0, "
        f"{n}.5"
        for n in range(12)
    ]
    (folder / "driving_log.csv").write_text("\n".join(lines))
    manifest = read_dataset(folder / "driving_log.csv", targets=["steering", "speed"])
    assert len(manifest) == 12
    np.testing.assert_allclose(values(manifest), steering)
    np.testing.assert_allclose(values(manifest, "speed"), np.arange(12) + 0.5)


def test_a_table_without_a_header_is_refused_as_such(folder):
    frame().to_csv(folder / "drive.csv", index=False, header=False)
    with pytest.raises(DataError, match=r"has no header: its first line is a row already .*path,steering"):
        read_dataset(folder / "drive.csv")


def test_an_error_about_a_table_says_nothing_of_folders(folder):
    frame(path="nowhere.jpg").to_csv(folder / "drive.csv", index=False)
    with pytest.raises(DataError, match="there is no such file") as refused:
        read_dataset(folder / "drive.csv")
    assert "relative to the table's own folder" in str(refused.value)
    assert "a folder of environments" not in str(refused.value)


def write_tub(tub: Path, count: int, deleted: tuple[int, ...] = ()) -> None:
    """A tub of Donkeycar 4."""
    (tub / "images").mkdir(parents=True)
    records = []
    for number in range(count):
        Image.new("RGB", (16, 12), (number, 0, 0)).save(tub / "images" / f"{number}_cam_image_array_.jpg")
        record = {"_index": number, "_session_id": "a", "_timestamp_ms": 1700000000000 + 50 * number}
        record |= {"cam/image_array": f"{number}_cam_image_array_.jpg", "user/mode": "user"}
        records.append(
            json.dumps(record | {"user/angle": number / 20 - 0.4, "user/throttle": 0.1 * (number % 3)})
        )
    (tub / "catalog_0.catalog").write_text("\n".join(records[:8]) + "\n")
    (tub / "catalog_1.catalog").write_text("\n".join(records[8:]) + "\n")
    state = {"paths": ["catalog_0.catalog"], "current_index": count, "deleted_indexes": list(deleted)}
    (tub / "manifest.json").write_text(
        "\n".join(map(json.dumps, (["cam/image_array"], ["image"], {}, {}, state)))
    )


def test_a_tub_of_donkeycar_gives_angle_and_throttle_without_what_was_deleted(tmp_path):
    write_tub(tmp_path / "tub_1", 12, deleted=(3, 10))
    manifest = read_dataset(tmp_path / "tub_1", group="block:5")
    assert manifest.targets == ("angle", "throttle")
    rows = manifest.table.set_index("path")
    kept = [n for n in range(12) if n not in (3, 10)]
    np.testing.assert_allclose(
        rows.loc[[f"images/{n}_cam_image_array_.jpg" for n in kept], "angle"], np.array(kept) / 20 - 0.4
    )
    assert manifest.skipped["reason"].tolist() == ["it was deleted in the tub"] * 2
    assert manifest.table["group"].tolist() == ["block 0"] * 5 + ["block 1"] * 5


def test_several_tubs_are_environments_and_old_records_are_read(tmp_path):
    write_tub(tmp_path / "monday", 9)
    old = tmp_path / "sunday"
    old.mkdir()
    for number in range(11):
        Image.new("RGB", (16, 12)).save(old / f"{number}_cam-image_array_.jpg")
        record = {
            "cam/image_array": f"{number}_cam-image_array_.jpg",
            "user/angle": number / 10,
            "user/throttle": 0.2,
        }
        (old / f"record_{number}.json").write_text(json.dumps(record))
    (old / "record_11.json").write_text('{"cam/image_arr')
    manifest = read_dataset(tmp_path)
    assert manifest.table["environment"].value_counts().to_dict() == {"sunday": 11, "monday": 9}
    frames = manifest.table[manifest.table["environment"] == "sunday"]
    np.testing.assert_allclose(frames["angle"], np.arange(11) / 10)  # record_10 follows record_9
    assert manifest.skipped["path"].tolist() == ["record_11.json, record 1"]
