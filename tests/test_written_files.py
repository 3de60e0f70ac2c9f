"""Files that are whole or not there."""

from __future__ import annotations

import pytest

from shapsight.data.written_files import part_of, write_text, written


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path):
    path = tmp_path / "errors.csv"
    write_text(path, "old")
    with written(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("by_many", [False, True])
@pytest.mark.parametrize("stopped", [ValueError, KeyboardInterrupt])
def test_what_is_stopped_leaves_the_older_file_and_nothing_beside_it(tmp_path, stopped, by_many):
    path = tmp_path / "errors.csv"
    write_text(path, "old")
    with pytest.raises(stopped), written(path, by_many=by_many) as part:
        part.write_text("half")
        raise stopped
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_an_older_one_with_all_that_was_in_it(tmp_path):
    folder = tmp_path / "look"
    for name in ("a.csv", "b.csv"):
        with written(folder) as part:
            part.mkdir()
            (part / name).write_text(name)
    assert [path.name for path in folder.iterdir()] == ["b.csv"] and list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_process_left_half_written_is_cleared(tmp_path):
    folder = tmp_path / "look"
    (part_of(folder) / "old").mkdir(parents=True)
    with written(folder) as part:
        part.mkdir()
    assert not list(folder.iterdir())
