"""What the nodes made is compared with each other and with what was read."""

import pytest

from ingest.building import BuiltTable
from qserv.errors import IngestError
from schema.model import Table, TableRole
from workers.table_actions import BuiltChunk

TABLE = Table("source", TableRole.DEPENDENT, (), ())
PLACEMENT = {4: ("one", "two"), 5: ("two", "one"), 6: ("two", "three")}


def made(*chunks):
    return {chunk: BuiltChunk(chunk, rows, 0, [], {}) for chunk, rows in chunks}


def put_together(built, rows):
    return BuiltTable.of(TABLE, built, PLACEMENT, rows)


def test_what_all_nodes_agree_on_is_taken():
    table = put_together({"one": made((4, 10), (5, 2)), "two": made((5, 2), (4, 10)), "three": {}}, 12)
    assert [(chunk.chunk, chunk.row_count, chunk.nodes) for chunk in table.chunks] == [
        (4, 10, ("one", "two")),
        (5, 2, ("two", "one")),
    ]
    assert (table.rows, table.overlap_rows) == (12, 0)


@pytest.mark.parametrize(
    ("built", "complaint"),
    [
        ({"one": made((4, 10)), "two": made((4, 9)), "three": {}}, "chunk 4: its nodes do not have the same rows"),
        ({"one": made((4, 10)), "two": {}, "three": {}}, "chunk 4: its nodes do not have the same rows"),
        ({"one": made((4, 10), (6, 1)), "two": made((4, 10), (6, 1)), "three": made((6, 1))}, "chunk 6: its nodes"),
        ({"one": made((4, 8)), "two": made((4, 8)), "three": {}}, "source: 10 rows were read, 8 are on the nodes; load again"),
        ({"one": {}, "two": {}, "three": {}}, "10 rows were read, 0 are on the nodes"),
    ],
)
def test_rows_that_are_missing_somewhere_are_found(built, complaint):
    with pytest.raises(IngestError, match=complaint):
        put_together(built, 10)
