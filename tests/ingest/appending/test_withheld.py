"""Tables that are withheld from users, and shown again."""

import pytest

from ingest.service.models import LoadRequest, TransactionRequest
from qserv.errors import QservError, UnknownNameError
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.conftest import visit

COUNT = "SELECT COUNT(*) AS n FROM {db}.object"
DESCRIBED = "SELECT COUNT(*) AS n FROM tap_schema.tables WHERE schema_name = '{db}'"


def test_a_database_is_withheld_and_shown_again(night):
    database = night.load(visit(0), tables=tuple(visit(0)))
    answer, described = night.ask(database, COUNT), night.ask(database, DESCRIBED)
    found = night.ingest.withhold(database)
    assert {table.published for table in found.tables} == {False}
    with pytest.raises(QservError, match="unknown table"):
        night.ask(database, COUNT)
    assert (described, night.ask(database, DESCRIBED)) == ([repr({"n": 3})], [repr({"n": 0})])
    with pytest.raises(UnknownNameError):
        night.ingest.begin("never", TransactionRequest(append_to=database))
    # Another load into the database takes nothing of it away, and is refused what is there.
    files = {table: (str(path),) for table, path in night.files(visit(1)).items()}
    night.ingest.submit(f"{database}-more", LoadRequest(schema_file=str(night.directory / f"{database}.yaml"), files=files))
    assert "is published already" in night.ingest.finished(f"{database}-more", 60).error.message
    assert {table.published for table in night.ingest.publish(database).tables} == {True}
    assert (night.ask(database, COUNT), night.ask(database, DESCRIBED)) == (answer, described)
    night.append(database, visit(1))


def test_one_table_is_withheld(night):
    database = night.load(visit(0), tables=tuple(visit(0)))
    found = night.ingest.withhold(database, "source")
    assert {table.name: table.published for table in found.tables} == {"object": True, "source": False, "filter": True}
    assert night.ask(database, COUNT) == [repr({"n": 40})]
    night.ingest.publish(database, "source")
    night.ingest.publish(database, "source")
    assert night.ask(database, "SELECT COUNT(*) AS n FROM {db}.source") == [repr({"n": 120})]
    night.ingest.withhold(database, "source")
    night.ingest.drop(database)
    assert database not in {one.name for one in night.ingest.databases()}
    with pytest.raises(UnknownNameError):
        night.ingest.withhold(database, "source")


def test_what_is_replaced_is_shown(night):
    database = night.load(visit(0), tables=tuple(visit(0)))
    night.ingest.withhold(database)
    files = {table: (str(path),) for table, path in night.files(visit(1)).items()}
    request = LoadRequest(schema_file=str(night.directory / f"{database}.yaml"), files=files, replace=True)
    night.ingest.submit(f"{database}-anew", request)
    assert night.ingest.finished(f"{database}-anew", 60).state is TransactionState.COMMITTED
    assert night.ask(database, "SELECT MIN(id) AS first FROM {db}.object") == [repr({"first": 2**53 + 1000})]
