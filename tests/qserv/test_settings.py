from pathlib import Path

import pytest

from qserv.errors import SettingsError
from qserv.settings import Settings, reference_page


def test_reference_page_is_the_one_in_docs():
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert page.read_text() == reference_page(), "run `qserv settings --reference > docs/settings.md`"


def test_environment_sets_a_setting(monkeypatch):
    monkeypatch.setenv("QSERV_NODES", "5")
    assert Settings.load().nodes == 5
    assert Settings.load(nodes=2).nodes == 2


def test_misspelt_variable_is_refused_with_the_nearest_name(monkeypatch):
    monkeypatch.setenv("QSERV_TAPPORT", "9000")
    with pytest.raises(SettingsError, match=r"QSERV_TAPPORT is not a setting; the nearest one is QSERV_TAP_PORT"):
        Settings.load()
    with pytest.raises(SettingsError):
        Settings()


def test_misspelt_argument_is_refused_with_the_nearest_name():
    with pytest.raises(SettingsError, match="node is not a setting; the nearest one is nodes"):
        Settings.load(node=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("nodes", "0"), ("nodes", "three"), ("tap_port", "70000"), ("memory_share", "1.5"), ("log_level", "loud"), ("max_rows", "0")],
)
def test_value_out_of_range_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(f"QSERV_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"QSERV_{name.upper()}.*{value}"):
        Settings.load()


def test_a_service_that_is_started_sees_the_same_settings(monkeypatch, tmp_path):
    settings = Settings.load(home=tmp_path, nodes=2, worker_threads=4, query_timeout_s=1.5, tap_port=0)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


def test_home_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.delenv("QSERV_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Settings.load().home == tmp_path / "qserv"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.load().home == tmp_path / ".local" / "share" / "qserv"


def test_relative_home_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings.load(home="here").home == tmp_path / "here"
