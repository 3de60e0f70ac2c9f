import json

import pytest

from shapsight.errors import RunError
from shapsight.studies.shared.run_folder import RunFolder


def start(folder, **options):
    return RunFolder.start(folder, command="test", settings={"seed": 0}, **options)


def test_a_run_appears_in_its_place_only_when_it_is_finished(tmp_path):
    run = start(tmp_path / "run")
    (run.path / "report.html").write_text("x")
    assert not (tmp_path / "run").exists()
    assert run.finish("done") == tmp_path / "run"
    card = json.loads((tmp_path / "run" / "run.json").read_text())
    assert card["status"] == "done"
    assert card["settings"] == {"seed": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_earlier_run_is_kept_until_the_new_one_is_finished(tmp_path):
    first = start(tmp_path / "run")
    (first.path / "old").write_text("old")
    first.finish("done")
    second = start(tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "old").read_text() == "old"
    second.finish("done")
    assert not (tmp_path / "run" / "old").exists()


def test_an_earlier_run_is_replaced_only_when_asked(tmp_path):
    start(tmp_path / "run").finish("done")
    with pytest.raises(RunError, match="--overwrite"):
        start(tmp_path / "run")


def test_a_folder_that_is_no_run_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "precious.jpg").write_text("x")
    with pytest.raises(RunError, match="not a run of shapsight"):
        start(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "precious.jpg").exists()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(RunError, match="is a file"):
        start(tmp_path / "run")


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "run").mkdir()
    assert start(tmp_path / "run").finish("done").is_dir()
