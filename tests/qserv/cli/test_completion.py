import pytest

from czar.service.models import ColumnInfo, TableInfo
from qserv.cli.completion import candidates
from qserv.cli.prompt import is_complete
from qserv.cli.showing import columns_shown
from qserv.errors import UnknownNameError


def table(database, name, *columns):
    infos = tuple(ColumnInfo(name=column, datatype="double", unit=None, ucd=None, description="") for column in columns)
    return TableInfo(database=database, name=name, role="director", description="", rows=1, columns=infos)


TABLES = (
    table("stars", "hipparcos", "hip", "magnitude"),
    table("stars", "bigsky", "tycho", "hip"),
    table("deep", "hipparcos", "id"),
)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("SELECT * FROM stars.h", ["stars.hipparcos"]),
        ("SELECT * FROM big", ["bigsky"]),
        ("SELECT mag| FROM stars.hipparcos", ["magnitude"]),
        ("SELECT ty| FROM stars.hipparcos", []),
        ("SELECT b.| FROM stars.bigsky AS b", ["b.tycho", "b.hip"]),
        ("SELECT B.t| FROM stars.bigsky b", ["B.tycho"]),
        ("SELECT hipparcos.m| FROM stars.hipparcos JOIN stars.bigsky USING (hip)", ["hipparcos.magnitude"]),
        ("sel", ["SELECT"]),
        ("SELECT hip FROM stars.hipparcos wh", ["WHERE"]),
        ("\\d deep.", ["deep.hipparcos"]),
        ("SELECT ", []),
    ],
)
def test_what_a_word_may_become(text, first):
    before, _, after = text.partition("|")
    word = before.rpartition(" ")[2]
    assert candidates(word, before, before + after, TABLES)[: max(len(first), 1)] == first


@pytest.mark.parametrize(
    ("text", "complete"), [("", True), ("select 1", False), ("select 1\n;  ", True), ("\\d", True), ("select ';'", False)]
)
def test_enter_sends_what_is_complete(text, complete):
    assert is_complete(text) is complete


def test_a_table_is_named_so_that_it_is_one():
    assert columns_shown(TABLES, "STARS.hipparcos").row_count == 2
    with pytest.raises(UnknownNameError, match=r"write stars\.hipparcos or deep\.hipparcos"):
        columns_shown(TABLES, "hipparcos")
    with pytest.raises(UnknownNameError, match="unknown table nothing"):
        columns_shown(TABLES, "nothing")
