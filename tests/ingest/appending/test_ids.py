"""Keys are unique across releases: each has numbers of its own."""

import pytest

from ingest.service.models import ContributionRequest, TransactionRequest
from qserv.errors import QservError
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.conftest import FELIS, PARTITION, rows_of, visit

FIRST = 2**53


def partition(first, last):
    return PARTITION.replace("overlap_deg", f"ids: {{{{first: {first}, last: {last}}}}}\noverlap_deg")


def test_a_release_has_numbers_of_its_own(night):
    limits = (0, FIRST + 1_000 + 39)  # sources begin at 0, objects at 2**53
    database = night.load(visit(0), night.schema(FELIS, partition(*limits)))
    schema = night.schema(FELIS, partition(limits[1], limits[1] + 10))
    night.ingest.begin(schema.stem, TransactionRequest(schema_file=str(schema), chunk_order=0))
    found = night.ingest.finished(schema.stem, 60)
    assert found.state is TransactionState.ABORTED
    assert f"table {database}.object has those from 0 to {limits[1]}; give it others" in found.error.message
    beside = night.schema(FELIS, partition(limits[1] + 1, 2**62))
    night.ingest.begin(beside.stem, TransactionRequest(schema_file=str(beside), chunk_order=0))
    assert night.ingest.load(beside.stem).error is None
    night.ingest.cancel(beside.stem)
    night.ingest.finished(beside.stem, 60)
    night.append(database, visit(1))  # up to the last one
    name = f"{database}-2"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    path = night.files({"object": visit(2)["object"].slice(3)})["object"]
    night.ingest.send(name, "o", ContributionRequest(table="object", source=str(path)))
    found = night.ingest.contribution(name, "o", 60)
    assert found.state is ContributionState.FAILED
    wrong = f"row 1, column 'id', value {FIRST + 2_003}: the keys of this database are from 0 to {limits[1]} (ids)"
    assert wrong in found.files[0].error.message
    night.ingest.cancel(name)
    night.ingest.finished(name)


@pytest.mark.parametrize("limits", [(5, 4), (0, 2**63)])
def test_numbers_that_are_none_are_refused(limits, night):
    with pytest.raises(QservError, match="ids"):
        night.load({"filter": rows_of(1)["filter"]}, night.schema(FELIS, partition(*limits)))
