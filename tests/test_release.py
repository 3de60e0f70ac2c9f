"""What is released in several forms says the same in each."""

import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

CHECKOUT = Path(__file__).parents[1]
PACKAGE = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
RECIPE = yaml.safe_load((CHECKOUT / "conda" / "recipe" / "recipe.yaml").read_text())
CALLED_IN_CONDA = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",  # without the windows of Qt
    "opencv-python-headless": "py-opencv",
}


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    project = PACKAGE["project"]
    needs = map(Requirement, project["dependencies"])
    wanted = {CALLED_IN_CONDA.get(need.name, need.name): need.specifier for need in needs}
    wanted["python"] = SpecifierSet(project["requires-python"])
    lines = (line.partition(" ") for line in RECIPE["requirements"]["run"])
    assert {name: SpecifierSet(versions) for name, _, versions in lines} == wanted


def test_the_conda_recipe_builds_with_what_the_package_is_built_with():
    host = {
        Requirement(line) for line in RECIPE["requirements"]["host"] if not line.startswith(("python", "pip"))
    }
    assert host == {Requirement(line) for line in PACKAGE["build-system"]["requires"]}


def test_the_conda_recipe_has_the_package_s_commands_and_words():
    project = PACKAGE["project"]
    commands = [f"{name} = {place}" for name, place in project["scripts"].items()]
    assert RECIPE["build"]["python"]["entry_points"] == commands
    assert RECIPE["about"]["summary"] == project["description"]
    assert RECIPE["about"]["license"] == project["license"]
