"""A name that means one release, then another one."""

import threading

import pytest

from czar.service.client import Czar
from qserv.errors import IngestError, QservError, UnknownNameError
from tests.ingest.appending.conftest import visit
from tests.ingest.service.test_killed_service import insist
from tests.support.steps import failpoints

POINTS = [point for point in failpoints() if point.startswith(("service.alias.", "service.tables."))]

COUNTED = "SELECT COUNT(*) AS n, MIN(o.id) AS first FROM {alias}.object o JOIN {alias}.source s ON s.object_id = o.id"


def test_queries_go_on_while_a_name_changes_its_meaning(night):
    """Each answer is wholly of one release or the other."""
    releases = [night.load(visit(0)), night.load(visit(7))]
    alias = f"current_{releases[0]}"[:40]
    night.ingest.set_alias(alias, releases[0])
    expected = [night.ask(release, COUNTED.replace("alias", "db")) for release in releases]
    query, seen, wrong, stop = COUNTED.format(alias=alias), set(), [], threading.Event()

    def read():
        with Czar.of_home(night.running.cluster.home, user="reader") as czar:
            while not stop.is_set():
                try:
                    answer = sorted(map(repr, czar.query(query).to_pylist()))
                except QservError as error:
                    wrong.append(error)
                    continue
                if answer in expected:
                    seen.add(expected.index(answer))
                else:
                    wrong.append(answer)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(1, 20):
        night.ingest.set_alias(alias, releases[turn % 2])
        assert night.ask("", query) == expected[turn % 2]
        assert night.ask(releases[0], COUNTED.replace("alias", "db")) == expected[0]
    stop.set()
    for reader in readers:
        reader.join()
    assert (wrong, seen) == ([], {0, 1})
    with pytest.raises(IngestError, match=f"the alias {alias} means it"):
        night.ingest.drop(releases[1])
    night.ingest.drop_alias(alias)
    with pytest.raises(QservError, match="unknown table"):
        night.ask("", query)
    night.ingest.drop(releases[1])


def test_columns_are_named_by_the_alias_or_by_the_database(night):
    database = night.load({"filter": visit(3)["filter"]}, tables=("filter",))
    alias = f"a{database}"
    night.ingest.set_alias(alias, database)
    for name in (alias, database, alias.upper()):
        assert night.ask("", f"SELECT {name}.filter.band AS b FROM {alias}.filter") == [repr({"b": 3})]  # noqa: S608 (names of ours)
    assert night.ingest.aliases()[alias] == database
    night.ingest.drop_alias(alias)
    night.ingest.drop_alias(alias)


def test_names_that_cannot_be_aliases(night):
    database = night.load({"filter": visit(3)["filter"]}, tables=("filter",))
    with pytest.raises(IngestError, match=f"there is a database {database}"):
        night.ingest.set_alias(database, database)
    with pytest.raises(UnknownNameError, match="there is no published database nowhere"):
        night.ingest.set_alias("dr_current", "nowhere")
    for name in ("pg_release", "information_schema", "1st", "a b"):
        with pytest.raises(QservError):
            night.ingest.set_alias(name, database)
    night.ingest.set_alias(f"to_{database}", database)
    schema = night.schema()
    renamed = schema.with_name(f"{schema.stem}x.yaml")
    renamed.write_text(schema.read_text().replace(schema.stem, f"to_{database}"))
    schema.with_suffix(".partition.yaml").rename(renamed.with_suffix(".partition.yaml"))
    with pytest.raises(AssertionError, match="an alias has this name"):
        night.load({}, renamed, tables=("filter",))
    night.ingest.drop_alias(f"to_{database}")


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_service_killed_while_users_are_to_see_something_else(point, night):
    database = night.load({"filter": visit(3)["filter"]}, tables=("filter",))
    alias, count = f"a{database}", "SELECT COUNT(*) AS n FROM {db}.filter"
    if "drop" in point:
        night.ingest.set_alias(alias, database)
    night.running.arm(point)
    match point.split(".")[1:3]:
        case "alias", "set":
            insist(lambda: night.ingest.set_alias(alias, database) or True)
            assert night.ask(alias, count) == [repr({"n": 1})]
            insist(lambda: night.ingest.drop_alias(alias) or True)
        case "alias", "drop":
            insist(lambda: night.ingest.drop_alias(alias) or True)
            assert alias not in night.ingest.aliases()
        case "tables", "withhold":
            insist(lambda: night.ingest.withhold(database))
            with pytest.raises(QservError, match="unknown table"):
                night.ask(database, count)
            insist(lambda: night.ingest.publish(database))
    assert night.running.went_off(point)
    assert night.ask(database, count) == [repr({"n": 1})]
