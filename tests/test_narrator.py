"""What long work says where there is no terminal: in CI, in a log, under nohup."""

import io
import itertools

import pytest
from rich.console import Console

from discs import write_discs
from shapsight.data.images import load_images
from shapsight.data.readers import read_dataset
from shapsight.models.build import build_model
from shapsight.models.plan import TrainingPlan
from shapsight.models.train import fit
from shapsight.studies.cure.study import cure
from shapsight.studies.explain.study import explain_files
from shapsight.studies.shared.narrator import Narrator, portion_of
from shapsight.studies.shared.settings import CureSettings, ExplainSettings, TrainingSettings
from shapsight.studies.train.study import train


class Log:
    """A narrator that writes into a text, on a clock that the test sets."""

    def __init__(self, *, seconds_a_look: float = 0) -> None:
        self.text, self.now = io.StringIO(), itertools.count(0, seconds_a_look)
        self.time = 0.0
        look = (lambda: next(self.now)) if seconds_a_look else (lambda: self.time)
        self.narrator = Narrator(Console(file=self.text, width=200), clock=look)

    @property
    def lines(self) -> list[str]:
        return self.text.getvalue().splitlines()


def test_a_tenth_gets_a_line_with_the_time_left():
    log = Log()
    with log.narrator.step("Explaining 200 images") as report:
        for done in range(1, 201):
            log.time = 6.0 * done
            report(done, 200)
    assert log.lines[0] == "Explaining 200 images …"
    assert log.lines[1] == "  10% after 2 min 0 s, about 18 min 0 s left"
    assert len(log.lines) == 10  # the end needs none: the next step begins
    assert log.lines[-1] == "  90% after 18 min 0 s, about 2 min 0 s left"


def test_short_work_is_one_line():
    log = Log()
    with log.narrator.step("Decoding") as report:
        for done in range(1, 1001):
            log.time = 0.009 * done
            report(done, 1000)
    assert log.lines == ["Decoding …"]


def test_a_tenth_that_takes_hours_gets_lines_on_its_way_and_so_does_work_of_unknown_length():
    log = Log()
    with log.narrator.step("Training") as report:
        for minutes in range(1, 31):
            log.time = 60.0 * minutes
            report(minutes, 600)
    assert len(log.lines) == 16
    assert log.lines[1] == "  0% after 2 min 0 s, about 598 min 0 s left"
    log = Log()
    with log.narrator.step("Searching") as report:
        for minutes in range(1, 7):
            log.time = 60.0 * minutes
            report(minutes, 0)
    assert log.lines[1:] == [f"  {n} steps after {n} min 0 s" for n in (2, 4, 6)]


def test_a_quiet_narrator_says_nothing():
    log = Log(seconds_a_look=60)
    log.narrator.quiet = True
    with log.narrator.step("Training") as report:
        report(1, 10)
    assert log.narrator.start("Training") is False
    assert log.lines == []


def test_the_progress_of_a_piece_is_a_part_of_the_whole():
    told = []
    inner = portion_of(lambda done, total: told.append((done, total)), 2, 4)
    inner(1, 2)
    inner(3, 0)
    assert told == [(2.5, 4), (2, 4)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number, room in enumerate(("red", "green")):
        write_discs(folder / room, 12, seed=number)
    return folder


def test_training_tells_its_steps_and_their_number(photos):
    manifest = read_dataset(photos)
    told = []
    fit(
        build_model("small_cnn", 2),
        manifest,
        load_images(manifest, list(manifest.table["path"]), 32),
        TrainingPlan(epochs=3, batch_size=4, device="cpu"),
        progress=lambda done, total: told.append((done, total)),
    )
    steps = -(-len(manifest.rows("train")) // 4)
    assert told == [(done, 3 * steps) for done in range(1, 3 * steps + 1)]


def test_training_explaining_and_curing_say_how_far_they_are(photos, tmp_path):
    settings = TrainingSettings(
        arch="small_cnn", epochs=4, batch_size=4, references=3, device="cpu", train_on="red"
    )
    log = Log(seconds_a_look=15)
    train(photos, tmp_path / "run", settings=settings, progress=log.narrator)
    start = next(number for number, line in enumerate(log.lines) if line.startswith("Training small_cnn"))
    assert "left" in log.lines[start + 1]

    log = Log(seconds_a_look=15)
    what = ExplainSettings(method="partition", masker="mean", max_evals=40, device="cpu")
    explain_files(
        [tmp_path / "run", photos / "green"], tmp_path / "why", settings=what, progress=log.narrator
    )
    start = log.lines.index("Explaining 12 images, partition …")
    assert "left" in log.lines[start + 1]

    log = Log(seconds_a_look=15)
    tried = CureSettings(("flip",), seeds=2, explain=0, device="cpu")
    cure(tmp_path / "run", settings=tried, progress=log.narrator)
    start = log.lines.index("Training 8 of 8 models …")
    assert "left" in log.lines[start + 1]
