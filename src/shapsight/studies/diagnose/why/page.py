"""How the page shows what changing the picture did."""

from __future__ import annotations

from shapsight.report.page import Column
from shapsight.studies.diagnose.part import Part, Shown
from shapsight.studies.diagnose.why.facts import WhyFacts
from shapsight.studies.diagnose.why.study import why

HOW_TO_READ = (
    "The region of interest of each image is put on other scenes, and other regions into its scene, with feathered "
    "edges; hyphenated names are those of the Backgrounds Challenge (Xiao et al. 2021). mixed-same takes the scene of "
    "another image of the same environment (of classes: of the same label), mixed-rand of another one, control the "
    "most alike scene of the same environment, which tells what the cut costs. Errors are against the target of the "
    "image whose region is shown. In the pictures the ring is the target and the dot the prediction; bold is a "
    "prediction that turned. In the square of all regions on all scenes, even rows mean that the prediction follows "
    "the region, even columns that it follows the scene."
)
TABLES = (
    Shown(
        "variants",
        "What each change of the picture did, over all images that were changed",
        (
            Column("variant"),
            Column("target"),
            Column("images", format="d"),
            Column("change", "moves by", ".3f", low="change_low", high="change_high"),
            Column("flips", "turns", ".0%", low="flips_low", high="flips_high"),
            Column("error", "error", ".3g", low="error_low", high="error_high"),
        ),
        {"environment": ("all",)},
    ),
    Shown(
        "crossed",
        "Shares of the prediction's variance over a crossed design of regions and scenes",
        (
            Column("environment"),
            Column("target"),
            Column("images", format="d"),
            Column("scene", "scene (Shapley)", ".1%", low="scene_low", high="scene_high"),
            Column("region", "region (Shapley)", ".1%"),
            Column("scene_alone", "scene alone", ".1%"),
            Column("region_alone", "region alone", ".1%"),
            Column("together", "only both", ".1%"),
        ),
    ),
    Shown(
        "patches",
        "Patches of the scene, the most important first",
        (
            Column("rank", format="d"),
            Column("place"),
            Column("value", "mean |RegionSHAP|", ".3g"),
            Column("share", "of the scene's", ".0%"),
        ),
        {"environment": ("all",), "rank": (1, 2, 3, 4, 5)},
    ),
)
WHY = Part(
    "why", "Is that why it fails?", why, WhyFacts, TABLES, needs_explanations=False, notes=(HOW_TO_READ,)
)
