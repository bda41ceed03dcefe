"""Arrays on a terminal, in JSON and in CSV files."""

import io
import json

import pyarrow as pa
from pyarrow import csv
from rich.console import Console

from qserv.cli import sql
from qserv.cli.result import CsvWriter
from qserv.cli.showing import show_rows

ROWS = pa.table(
    {"a": pa.array([[1, None], [], None], pa.list_(pa.int64())), "b": [["x y", '"'], None, [""]], "c": [0.5, None, 1.0]}
)


def test_arrays_are_shown_as_postgresql_does():
    shown = io.StringIO()
    show_rows(Console(file=shown, width=80), ROWS, paged=False)
    assert [line.split() for line in shown.getvalue().splitlines()] == [
        ["a", "b", "c"],
        ["{1,NULL}", '{"x', 'y","\\""}', "0.5"],
        ["{}"],
        ['{""}', "1.0"],
    ]


def test_arrays_are_arrays_of_json(capsys):
    rows = ROWS.append_column("d", pa.array([[float("nan"), None]] * 3))
    sql.show_answer(rows, 1, as_json=True)
    assert json.loads(capsys.readouterr().out)["rows"] == [[[1, None], ["x y", '"'], 0.5, ["nan", None]]]


def test_arrays_are_texts_of_csv(tmp_path):
    path = str(tmp_path / "a.csv")
    with CsvWriter(path, ROWS.schema) as writer:
        for batch in ROWS.to_batches(max_chunksize=2):
            writer.write_batch(batch)
    options = csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    found = csv.read_csv(path, convert_options=options).to_pydict()
    assert found == {"a": ["{1,NULL}", "{}", None], "b": ['{"x y","\\""}', None, '{""}'], "c": [0.5, None, 1.0]}
