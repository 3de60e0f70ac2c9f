"""Charts, judged by the rows that they draw and by the SVG that stands in pages."""

import re
import shutil
import subprocess
import warnings
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pictures import measured, predictions_of, rows_of
from shapsight.diagnosis.classes import calibration_table, confusion_table
from shapsight.drawing import style
from shapsight.drawing.charts.classes import calibration_plot, confusion_plot
from shapsight.drawing.charts.curves import curve, similarity_plot, training_curve
from shapsight.drawing.charts.files import chart_of, png, save, svg
from shapsight.drawing.charts.intervals import accuracy_bars, error_bars, errors_at_a_glance, share_bars
from shapsight.drawing.charts.interventions import crossed_plot, effects_plot, variance_bars
from shapsight.drawing.charts.measures import measures_plot, objects_plot
from shapsight.drawing.charts.ranking import error_share_plot
from shapsight.drawing.charts.scatter import scatter_panels
from shapsight.drawing.charts.strategies import strategy_map
from shapsight.drawing.charts.theme import PLOT
from shapsight.drawing.charts.trust import agreement_plot, flipping_plot, hidden_effects_plot, removal_plot
from shapsight.errors import DataError
from shapsight.report.page import Picture
from shapsight.studies.diagnose.findings import Findings, read_findings, write_findings
from shapsight.studies.diagnose.look.facts import LookFacts

NASTY = (
    "<img src=x onerror=alert(1)>.jpg",
    "it's \"q\" & 'q'",
    "\u202egpj.exe",
    "n" * 300,
    "a.b[0]\\'",
    "${x}",
)
SHARES = np.linspace(0, 1, 11)
SPACE = "{http://www.w3.org/2000/svg}"


def parsed(chart, prefix="a"):
    return ElementTree.fromstring(svg(chart, prefix))


def texts_of(root) -> list[str]:
    return [said for text in root.iter(f"{SPACE}text") for said in text.itertext()]


def said_of(root) -> list[str]:
    """What is said of single marks."""
    return [
        element.get("aria-label")
        for element in root.iter()
        if element is not root and element.get("aria-label")
    ]


def with_interval(name: str, **columns) -> pd.DataFrame:
    table = pd.DataFrame(columns)
    return table.assign(**{f"{name}_low": table[name] * 0.9, f"{name}_high": table[name] * 1.1})


def curves_of(names: tuple[str, ...] = ("",)) -> pd.DataFrame:
    tables = []
    for number, name in enumerate(names):
        for kind, value in (("insertion", SHARES ** (number + 0.5)), ("deletion", (1 - SHARES) ** 2)):
            columns = {"name": name, "curve": kind, "share": SHARES, "value": value}
            tables.append(pd.DataFrame(columns | {"low": value - 0.1, "high": value + 0.1}))
    return pd.concat(tables, ignore_index=True)


def removed() -> pd.DataFrame:
    kinds = [
        (image, order, kind)
        for image in range(2)
        for order in ("value", "random")
        for kind in ("deletion", "insertion")
    ]
    return pd.concat(
        [
            pd.DataFrame({"share": SHARES, "moved": SHARES, "prediction": 1 - SHARES * (order == "value")}).assign(
                image=image, output="x", order=order, curve=kind
            )
            for image, order, kind in kinds
        ],
        ignore_index=True,
    )  # fmt: skip


def where_it_looks(names) -> pd.DataFrame:
    table = pd.DataFrame(
        {"environment": list(names), "split": "unseen", "output": names[0], "measure": "area"}
    )
    table = table.assign(category="box", share=0.4, value=0.5, low=0.4, high=0.6, chance=0.3)
    return table.assign(randomised=0.2, randomised_low=0.2, randomised_high=0.2)


def every_chart(names=("room_1", "room_2", "hall")) -> dict:
    """A chart of each kind, whose names of targets, environments, classes, layers, recipes and files are these."""
    first, count = names[0], len(names)
    random = np.random.default_rng(0)
    errors = with_interval(
        "mse", environment=list(names), split="unseen", target=first, mse=0.1 * np.arange(count)
    )
    answers = pd.DataFrame({"label": list(names), "predicted_label": first, "confidence": 0.8})
    predictions = pd.DataFrame({"environment": list(names) * 3, "split": "test", "path": list(names) * 3})
    predictions = predictions.assign(**{first: random.normal(size=3 * count), f"predicted_{first}": 0.5})
    effects = with_interval(
        "change", variant="grey scene", environment=list(names), change=0.1 * np.arange(count)
    )
    layers = pd.DataFrame({"step": range(1, count + 1), "layer": list(names), "rank_correlation": 0.4})
    hidden = pd.DataFrame(
        {
            "image": range(9),
            "output": first,
            "attributed": 0.5,
            "shuffled": 0.1,
            "changed": random.normal(size=9),
        }
    )
    pairs = pd.DataFrame({"first": list(names), "second": first, "rank_correlation": 0.3})
    regions = pd.DataFrame(
        {"image": range(9), "output": first, "attribution": 0.2, "exact": random.normal(size=9)}
    )
    ranking = with_interval(
        "error", recipe=["baseline", *names], error=0.1 * np.arange(1, count + 2), scene_share=0.4
    )
    ranking = with_interval("scene_share", **ranking)
    shares = with_interval("scene", target=first, environment=list(names), scene=0.4).assign(
        scene_alone=0.3, together=0.2, region_alone=0.5
    )
    return {
        "error_bars": error_bars(errors.assign(model=list(names))),
        "share_bars": share_bars(measured(names).rename(columns={"share": "value"}), "scene's share of {}"),
        "accuracy_bars": accuracy_bars(with_interval("accuracy", environment=list(names), split="test", accuracy=0.7)),
        "glance": errors_at_a_glance(errors, home=[first]),
        "scatter": scatter_panels(predictions, first, links=set(names)),
        "curve": curve(curves_of(tuple(names)), unit=first),
        "training": training_curve(pd.DataFrame({"epoch": range(8), "train_loss": np.linspace(1, 0.2, 8)}), 6),
        "similarity": similarity_plot(layers.assign(absolute=0.3, ssim=0.2)),
        "confusion": confusion_plot(confusion_table(answers, list(names))),
        "calibration": calibration_plot(calibration_table(answers)),
        "effects": effects_plot(effects, "change", f"how far {first} moves"),
        "variance": variance_bars(shares),
        "crossed": crossed_plot(random.normal(size=(count, count)), list(names), label=first),
        "measures": measures_plot(where_it_looks(names), first, {"area": "pixels that carry 90 % of it"}),
        "objects": objects_plot(where_it_looks(names), first),
        "strategies": strategy_map(np.ones((count, 2)), np.arange(count), list(names), np.arange(4.0), names, names),
        "removal": removal_plot(removed(), first, "deletion 2 × random"),
        "flipping": flipping_plot(removed(), first),
        "hidden": hidden_effects_plot(hidden, first),
        "agreement": agreement_plot(pairs, regions, first),
        "ranking": error_share_plot(ranking),
    }  # fmt: skip


@pytest.mark.parametrize("names", [("room_1", "room_2", "hall"), NASTY], ids=["plain", "nasty"])
def test_every_chart_is_static_svg_that_needs_nothing_else_whatever_the_names(names):
    for kind, chart in every_chart(names).items():
        said = svg(chart, kind)
        root = ElementTree.fromstring(said)
        known = "svg g path line rect text tspan circle a defs linearGradient stop clipPath"
        tags = {element.tag.removeprefix(SPACE) for element in root.iter()}
        assert tags <= set(known.split()), kind
        for element in root.iter():
            ids = [value for name, value in element.items() if name == "id"]
            uses = re.findall(r"url\(#([^)]*)", " ".join(element.attrib.values()))
            assert all(name.startswith(f"{kind}-") for name in [*ids, *uses]), kind
            assert not [name for name in element.attrib if name.startswith("on")], kind
            assert element.get("href", "#image=").startswith("#image="), kind
        assert "http" not in said.replace(SPACE[1:-1], ""), kind
        assert root.get("role") in ("img", "group") and root.get("aria-label"), kind
        assert root.get("width") == "100%" and "height" not in root.attrib, kind
        assert not re.search(r"\d\.\d{3,}", re.sub(r'aria-label="[^"]*"|>[^<]*<', "", said)), kind


def test_charts_fit_a_phone_with_letters_that_can_be_read():
    for kind, chart in every_chart(NASTY).items():
        root = parsed(chart)
        width = float(root.get("viewBox").split()[2])
        assert f"max-width:{width:g}px" in root.get("style")
        sizes = [
            float(element.get("font-size").removesuffix("px"))
            for element in root.iter()
            if element.get("font-size")
        ]
        assert min(sizes) * min(1, 350 / width) >= 11, (kind, width)


def test_texts_take_the_colour_of_the_page_and_no_paper_is_drawn():
    for kind, chart in every_chart().items():
        root = parsed(chart)
        fills = {element.get("fill") for element in root.iter(f"{SPACE}text")} - {None}
        assert fills <= {"currentColor"}, kind
        assert not {"white", "#fff", "#ffffff", "transparent"} & {
            element.get("fill") for element in root.iter()
        }, kind


def test_names_are_text_cut_in_the_chart_and_whole_in_what_is_said_of_it():
    table = with_interval("mse", environment=list(NASTY), split="unseen", mse=0.1)
    root = parsed(errors_at_a_glance(table, home=[NASTY[0]]))
    assert {row["row"] for row in rows_of(errors_at_a_glance(table, home=[]))} == set(NASTY)
    assert [said.split(": 0.1 (")[0] for said in said_of(root)] == list(NASTY)
    assert not any("n" * 30 in text for text in texts_of(root))


def test_each_error_is_drawn_with_its_interval_and_written():
    table = measured(("room 1", "all rooms"))
    chart = error_bars(table)
    titles = ["mean squared error of x", "mean squared error of y"]
    assert [said for said in texts_of(parsed(chart)) if said.startswith("mean")] == titles
    rows = pd.DataFrame(rows_of(chart))
    np.testing.assert_allclose(sorted(rows["value"]), sorted(table["mse"]))
    np.testing.assert_allclose(sorted(rows["low"]), sorted(table["mse_low"]))
    np.testing.assert_allclose(sorted(rows["high"]), sorted(table["mse_high"]))
    root = parsed(chart)
    assert "room_1 · train, room 1: 0.05 (0.04 to 0.065)" in said_of(root)
    assert {"room 1", "all rooms", "0.05"} <= set(texts_of(root))
    circles = [(parent, circle) for parent in root.iter() for circle in parent.findall(f"{SPACE}circle")]
    drawn = {circle.get("fill") or parent.get("fill") for parent, circle in circles}
    assert drawn == {style.SERIES[0], style.SERIES[1]}


def test_dots_and_lines_lie_where_the_values_say():
    table = with_interval("mse", environment=["a", "b", "c"], split="s", target="x", mse=[0.0, 0.5, 1.0])
    root = parsed(error_bars(table))
    circles = [float(circle.get("cx")) for circle in root.iter(f"{SPACE}circle")]
    assert circles[0] == pytest.approx(0, abs=0.02)
    assert circles[2] == pytest.approx(2 * circles[1], rel=1e-3)
    strokes = [(parent, line) for parent in root.iter() for line in parent.findall(f"{SPACE}line")]
    ends = [
        (float(re.match(r"translate\(([^,]*)", line.get("transform"))[1]), float(line.get("x2")))
        for parent, line in strokes
        if "2" in (parent.get("stroke-width"), line.get("stroke-width"))
    ]
    longest = max(ends, key=lambda end: abs(end[1]))
    assert sorted((longest[0], sum(longest))) == pytest.approx([0.9 * circles[2], 1.1 * circles[2]], rel=1e-2)


def test_shares_run_to_100_percent():
    table = measured().rename(columns={"share": "value"})
    root = parsed(share_bars(table, "scene's share of {}"))
    assert {"0%", "80%", "scene's share of x"} <= set(texts_of(root))
    panels = share_bars(table, "{}").to_dict()["vconcat"]
    assert [panel["layer"][0]["encoding"]["x"]["scale"]["domain"] for panel in panels] == [[0, 1.0]] * 2


def test_a_missing_error_is_said_and_not_drawn():
    table = measured()
    table.loc[0, ["mse", "mse_low", "mse_high"]] = np.nan
    root = parsed(error_bars(table))
    assert texts_of(root).count("no value") == 1
    assert len(list(root.iter(f"{SPACE}circle"))) == len(table) - 1
    svg(error_bars(table.assign(mse=np.nan, mse_low=np.nan, mse_high=np.nan)), "a")


def test_the_first_screen_sets_home_apart_and_shows_the_share_of_wrong_labels():
    table = with_interval("accuracy", environment=["home", "hall"], split="unseen", accuracy=[0.9, 0.6])
    root = parsed(errors_at_a_glance(table, home=["home"]))
    assert said_of(root) == ["home: 10% (1.0% to 19%)", "hall: 40% (34% to 46%)"]
    assert {"at home", "elsewhere", "10%", "40%"} <= set(texts_of(root))
    fills = [circle.get("fill") for circle in root.iter(f"{SPACE}circle") if circle.get("cx") != "0"]
    assert len(set(fills)) == 2
    _, _, width, height = map(float, root.get("viewBox").split())
    assert width <= 350 and height <= 60 + 40 + 26 * 2


def test_points_of_a_scatter_lie_at_their_values_and_open_their_images():
    predictions = predictions_of({("lockers", "train"): 20, ("hall", "unseen"): 1})
    predictions["path"] = [f"room/{NASTY[0]} {number}" for number in range(21)]
    chart = scatter_panels(predictions, "x", links=predictions["path"][:20])
    rows = [row for row in rows_of(chart) if "said" in row]
    np.testing.assert_allclose([row["across"] for row in rows], predictions["x"])
    np.testing.assert_allclose([row["up"] for row in rows], predictions["predicted_x"])
    root = parsed(chart)
    links = list(root.iter(f"{SPACE}a"))
    assert len(links) == 20 and root.get("role") == "group"
    assert links[3].get("href") == "#image=room%2F%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.jpg%203"
    assert links[3].get("aria-label").startswith(f"{NASTY[0]} 3: ")
    mse = ((predictions["x"] - predictions["predicted_x"]) ** 2)[:20].mean()
    assert {f"MSE {style.number(mse)}, 20 images", "hall · unseen"} <= set(texts_of(root))
    panels = chart.to_dict()["concat"]
    ends = [panel["layer"][1]["encoding"][axis]["scale"]["domain"] for panel in panels for axis in "xy"]
    assert ends == ends[:1] * 4


def test_a_target_s_name_may_hold_what_vega_would_parse():
    table = predictions_of({("a", "test"): 5}).rename(
        columns={"x": "a.b[0]", "predicted_x": "predicted_a.b[0]"}
    )
    root = parsed(scatter_panels(table, "a.b[0]"))
    assert len(list(root.iter(f"{SPACE}circle"))) == 5
    assert "actual a.b[0]" in texts_of(root)


def test_six_hundred_linked_points_take_at_most_100_kb_and_no_texts_of_their_own():
    predictions = predictions_of({("room_1", "train"): 400, ("room_2", "unseen"): 200})
    predictions["path"] = [f"room_{number % 3}/images/{number:05d}.jpg" for number in range(600)]
    said = svg(scatter_panels(predictions, "x", links=predictions["path"]), "a")
    assert len(said) <= 100_000
    root = ElementTree.fromstring(said)
    nameless = [group for group in root.iter(f"{SPACE}g") if group.get("aria-hidden")]
    assert [len(group) for group in nameless] == [400]
    assert all(link.get("tabindex") == "-1" for link in nameless[0])


def test_of_very_many_points_the_largest_errors_and_a_sample_are_drawn_and_that_is_said():
    predictions = predictions_of({("room_1", "train"): 3000})
    chart = scatter_panels(predictions, "x")
    rows = [row for row in rows_of(chart) if "said" in row]
    assert len(rows) == 1000
    assert "Of 3,000 images the 500 with the largest error are drawn, and 500 others" in chart.description
    error = (predictions["x"] - predictions["predicted_x"]).abs()
    drawn = {round(row["across"], 9) for row in rows}
    assert set(predictions["x"][error.nlargest(500).index].round(9)) <= drawn
    assert "room_1 · train" in texts_of(parsed(chart))


def test_curves_are_drawn_as_given_with_their_interval_and_the_area_under_them():
    table = curves_of().sample(frac=1, random_state=1)
    chart = curve(table, unit="p(egret)")
    rows = pd.DataFrame(rows_of(chart)).sort_values(["series", "at"])
    heights = (1 - SHARES) ** 2
    area = float(((heights[1:] + heights[:-1]) / 2 * np.diff(SHARES)).sum())
    deletion = rows[rows["series"] == f"deletion, area {style.number(area)}"]
    np.testing.assert_allclose(deletion["value"], (1 - SHARES) ** 2)
    np.testing.assert_allclose(deletion["high"], (1 - SHARES) ** 2 + 0.1)
    assert {"p(egret)", "100%"} <= set(texts_of(parsed(chart)))


def test_several_methods_differ_by_colour_and_their_curves_by_dashes():
    chart = curve(
        curves_of(("DeepSHAP", "a method with a long name, $x$", "c")).drop(columns=["low", "high"])
    )
    encoding = chart.to_dict()["layer"][0]["encoding"]
    colours, dashes = (encoding[channel]["scale"]["range"] for channel in ("color", "strokeDash"))
    assert colours[::2] == colours[1::2] and len(set(colours)) == 3
    assert dashes[::2] == [dashes[0]] * 3 and dashes[1::2] == [dashes[1]] * 3 and dashes[0] != dashes[1]


def test_holes_are_left_out_of_the_area_under_a_curve():
    table = pd.DataFrame({"curve": "insertion", "share": [0, 0.5, 1], "value": [0, np.nan, 1]})
    assert {row["series"] for row in rows_of(curve(table))} == {"insertion, area 0.5"}
    svg(curve(table.head(1)), "a")


def test_the_training_curve_marks_the_epoch_kept_and_a_loss_that_falls_far_is_logarithmic():
    history = pd.DataFrame({"epoch": range(8), "train_loss": np.linspace(1, 0.2, 8), "validation_loss": 0.5})
    chart = training_curve(history, best_epoch=6)
    assert {"at": 6, "series": "epoch kept"} in rows_of(chart)
    assert {"train", "validation", "epoch kept", "0.0", "epoch"} <= set(texts_of(parsed(chart)))
    far = pd.DataFrame(
        {"epoch": range(3), "train_loss": [9.0, 0.5, 0.01], "validation_loss": [9.0, np.nan, 0.02]}
    )
    assert {"0.01", "0.1", "1", "0", "2"} <= set(texts_of(parsed(training_curve(far))))
    svg(training_curve(far.head(1), 0), "a")


def test_a_confusion_counts_in_each_cell_and_shades_by_the_share_of_the_row():
    answers = pd.DataFrame({"label": ["cat"] * 4 + ["dog"], "predicted_label": ["cat"] * 3 + ["dog", "dog"]})
    chart = confusion_plot(confusion_table(answers, ["cat", "dog"]))
    rows = {(row["label"], row["predicted"]): row for row in rows_of(chart)}
    assert {key: (row["count"], row["share"]) for key, row in rows.items()} == {
        ("cat", "cat"): ("3", 0.75), ("cat", "dog"): ("1", 0.25), ("dog", "dog"): ("1", 1.0),
    }  # fmt: skip
    assert "1 of cat taken for dog (25%)" in said_of(parsed(chart))


def test_parts_of_the_variance_end_where_the_next_begins():
    shares = with_interval("scene", target="x", environment=["a"], scene=[0.4])
    root = parsed(variance_bars(shares.assign(scene_alone=0.3, together=0.2, region_alone=0.5)))
    found = {}
    for bar in root.iter(f"{SPACE}path"):
        if bar.get("aria-label", "").startswith("a, "):
            start, width = re.match(r"M([\d.]+),[\d.]+h([\d.]+)", bar.get("d")).groups()
            found[bar.get("aria-label")] = (float(start) / PLOT, (float(start) + float(width)) / PLOT)
    assert found.pop("a, scene: 30%") == pytest.approx((0, 0.3))
    assert found.pop("a, both together: 20%") == pytest.approx((0.3, 0.5))
    assert found == {"a, region of interest: 50%": pytest.approx((0.5, 1))}


def test_a_square_of_regions_and_scenes_has_a_cell_for_each_and_lines_between_groups():
    predictions = np.arange(9.0).reshape(3, 3) - 4
    chart = crossed_plot(predictions, ["a", "a", "b"], label="x")
    cells = {(row["row"], row["column"]): row["value"] for row in rows_of(chart) if "value" in row}
    assert cells == {(r, c): predictions[r, c] for r in range(3) for c in range(3)}
    assert "region of b, scene of a: 2" in said_of(parsed(chart))
    assert texts_of(parsed(chart)).count("b") == 2
    with pytest.raises(DataError, match="do not fit"):
        crossed_plot(predictions, ["a"], label="x")


def test_names_of_recipes_with_like_errors_do_not_overlap():
    ranking = with_interval("error", recipe=list("abcd"), error=[0.3, 0.1, 0.1001, 0.29], scene_share=0.4)
    rows = rows_of(error_share_plot(with_interval("scene_share", **ranking)))
    places = sorted(row["beside"] for row in rows)
    tall = 1.04 * ranking["error_high"].max()
    assert np.diff(places).min() >= 14.9 / 260 * tall
    assert min(places) >= 0


@pytest.mark.parametrize(
    "draw, name",
    [
        (error_bars, "mse_low"),
        (lambda table: share_bars(table.rename(columns={"share": "value"}), "{}"), "low"),
        (lambda table: scatter_panels(table, "x"), "predicted_x"),
        (lambda table: errors_at_a_glance(table.drop(columns="accuracy"), ["a"]), "mse_high"),
        (accuracy_bars, "accuracy"),
        (lambda table: curve(table.assign(value=0.1)), "curve"),
        (lambda table: effects_plot(table, "mse", "x"), "variant"),
        (variance_bars, "together"),
        (lambda table: measures_plot(table.assign(value=0.1), "x", {}), "measure"),
        (calibration_plot, "confidence"),
        (lambda table: hidden_effects_plot(table, "x"), "changed"),
        (lambda table: removal_plot(table, "x"), "moved"),
        (similarity_plot, "ssim"),
    ],
)  # fmt: skip
def test_a_table_without_a_column_or_without_rows_is_refused_by_name(draw, name):
    needed = "x predicted_x accuracy accuracy_low accuracy_high curve variant scene scene_low scene_high scene_alone "
    needed += (
        "together region_alone measure confidence images image attributed shuffled changed order moved step "
    )
    needed += "layer rank_correlation absolute ssim"
    table = measured().assign(**dict.fromkeys(needed.split(), 0.0))
    without = table.drop(columns=name)
    with pytest.raises(DataError, match=f"needs the columns {name}"):
        draw(without)
    with pytest.raises(DataError, match="without rows"):
        draw(table.head(0))


def test_a_chart_is_written_as_png_and_svg_and_read_from_its_specification(tmp_path):
    chart = error_bars(measured(NASTY[:3]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(chart, tmp_path / "errors")
    picture = Image.open(tmp_path / "errors.png").convert("RGB")
    width = float(ElementTree.parse(tmp_path / "errors.svg").getroot().get("viewBox").split()[2])
    assert picture.width == pytest.approx(2 * width, abs=2)
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert np.asarray(picture).min() < 80
    assert svg(chart_of(chart.to_dict(validate=False)), "a") == svg(chart, "a")


def test_the_same_table_gives_the_same_chart(tmp_path):
    assert svg(error_bars(measured()), "a") == svg(error_bars(measured()), "a")
    for name in "ab":
        png(error_bars(measured()), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_part_of_a_diagnosis_keeps_its_charts_and_gives_them_back(tmp_path):
    chart = error_bars(measured())
    part = Findings("look", {}, LookFacts(), pictures=(Picture(chart, "The errors"),))
    write_findings(part, tmp_path / "look", "key", 1.0)
    (found,) = read_findings(tmp_path / "look", "key", LookFacts).pictures
    assert svg(found.chart, "a") == svg(chart, "a")
    assert (tmp_path / "look" / "01_the_errors.png").is_file()
    assert (tmp_path / "look" / "01_the_errors.svg").read_text(encoding="utf-8") == svg(chart, "chart")


@pytest.mark.page
def test_no_text_is_cut_in_a_browser_and_all_take_the_colour_of_a_dark_page(tmp_path):
    charts = every_chart()
    page = tmp_path / "page.html"
    body = "".join(
        f'<div class="chart" style="width:350px">{svg(chart, kind)}</div>' for kind, chart in charts.items()
    )
    check = """
      const cut = [];
      for (const svg of document.querySelectorAll("svg")) {
        const box = svg.getBoundingClientRect();
        for (const text of svg.querySelectorAll("text")) {
          const own = text.getBoundingClientRect();
          if (own.left < box.left - 1 || own.right > box.right + 1 || own.bottom > box.bottom + 1)
            cut.push(text.textContent);
          if (getComputedStyle(text).fill !== "rgb(240, 240, 240)") cut.push("dark: " + text.textContent);
        }
      }
      document.body.dataset.cut = JSON.stringify(cut);
    """
    page.write_text(
        f"<meta charset=utf-8><style>body{{color:rgb(240,240,240)}}</style>{body}<script>{check}</script>",
        encoding="utf-8",
    )
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed, and this test looks at the charts in it")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'user'}",
        "--dump-dom",
    ]
    command = [program, *options, page.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'data-cut="[]"' in found, re.search(r'data-cut="[^"]*"', found)
