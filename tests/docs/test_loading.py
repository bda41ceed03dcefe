"""The catalogues of the data engineer's page, read as ``qserv ingest`` reads them."""

import pytest

from ingest.inputs import open_inputs
from ingest.rows import read_rows
from schema.felis import read_database


@pytest.fixture(scope="module")
def folder(blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for block in blocks:
        language, _, name = block.kind.partition(" ")
        if block.page == "data-engineers.md" and language in {"yaml", "csv"}:
            (folder / name).write_text(block.text)
    return folder


@pytest.mark.parametrize(
    ("schema", "rows"),
    [
        ("clusters", {"cluster": ("clusters.csv", 6)}),
        ("watch", {"star": ("star.csv", 3), "measurement": ("measurement.csv", 4)}),
        ("crossmatch", {"star": ("stars.csv", 3), "xray": ("xray.csv", 2), "pair": ("pairs.csv", 2)}),
    ],
)
def test_schema_takes_the_rows(folder, schema, rows):
    database = read_database(folder / f"{schema}.yaml")
    inputs = open_inputs(database, {table: [folder / name] for table, (name, _) in rows.items()})
    for source in inputs:
        read = [batch.batch.num_rows for file, matching in source.files for batch in read_rows(source.table, file, matching)]
        assert sum(read) == rows[source.table.name][1]


def test_column_that_no_one_asked_for_is_the_one_of_the_page(folder):
    database = read_database(folder / "clusters.yaml")
    assert open_inputs(database, {"cluster": [folder / "clusters.csv"]})[0].ignored_columns == ("notes",)
