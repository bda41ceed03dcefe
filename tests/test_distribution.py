"""What is installed: our packages are ours alone, and a built wheel has all of them, data and types included."""

import importlib.util
import subprocess
import sys
import zipfile
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DISTRIBUTION = "qserv-healpix"
PACKAGES = ("czar", "export", "ingest", "partitioner", "pipelines", "qserv", "schema", "tap", "workers")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_provides_the_package(package):
    # Others publish a "schema" and a "tap": installed beside this project they would shadow it, or be shadowed.
    assert set(packages_distributions().get(package, [DISTRIBUTION])) == {DISTRIBUTION}
    assert Path(importlib.util.find_spec(package).origin) == ROOT / package / "__init__.py"


def test_a_wheel_has_all_packages_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert "schema/catalogues/data/hipparcos.parquet" in names
    assert any(name.startswith("workers/functions/") and name.endswith(".sql") for name in names)


def test_the_licence_is_that_of_the_strictest_part():
    assert distribution(DISTRIBUTION).metadata["License-Expression"] == "GPL-3.0-or-later"
