import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.files import open_file
from ingest.matching import match_columns
from ingest.rows import read_positions, read_rows
from partitioner.healpix import pixel_of
from qserv.errors import BadFileError, BadRowError
from schema.model import Column, ColumnType, Table, TableRole

STAR = Table(
    "star",
    TableRole.DIRECTOR,
    (Column("id", ColumnType.LONG), Column("ra", ColumnType.DOUBLE), Column("dec", ColumnType.DOUBLE)),
    ("id",),
    ra="ra",
    dec="dec",
    director_key="id",
)


@pytest.fixture
def read(tmp_path):
    def run(table=STAR, **columns):
        pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
        file = open_file(tmp_path / "rows.parquet")
        return list(read_rows(table, file, match_columns(table, file)))

    return run


def test_longitudes_are_reduced_in_the_rows_as_in_their_pixels(read):
    (rows,) = read(id=[1, 2, 3, 4], ra=[-10.0, 360.0, 370.0, -1e-20], dec=[0.0, 0.0, 0.0, 0.0])
    assert rows.batch["ra"].to_pylist() == rows.ra.tolist() == [350.0, 0.0, 10.0, 0.0]
    assert rows.batch["_healpix_29"].to_pylist() == pixel_of([350.0, 0.0, 10.0, 0.0], np.zeros(4)).tolist()


def test_coordinates_that_are_only_rounding_become_zero(read):
    (rows,) = read(id=[1, 2, 3], ra=[5e-324, 0.0, 1e-9], dec=[0.0, -1e-200, -1e-9])
    assert rows.batch["ra"].to_pylist() == rows.ra.tolist() == [0.0, 0.0, 1e-9]
    assert rows.batch["dec"].to_pylist() == rows.dec.tolist() == [0.0, 0.0, -1e-9]


def test_poles_and_missing_positions(read):
    (rows,) = read(id=[1, 2, 3, 4], ra=[5.0, None, float("nan"), 5.0], dec=[90.0, None, float("nan"), -90.0])
    pixels = rows.batch["_healpix_29"].to_pylist()
    assert pixels[1:3] == [None, None]
    assert pixels[::3] == pixel_of([5.0, 5.0], [90.0, -90.0]).tolist()
    assert rows.batch["ra"].to_pylist() == [5.0, None, None, 5.0]


def test_a_file_without_rows(read):
    assert (
        sum(
            rows.batch.num_rows
            for rows in read(id=pa.array([], pa.int64()), ra=pa.array([], pa.float64()), dec=pa.array([], pa.float64()))
        )
        == 0
    )


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("dec", 95.0, "a latitude is from -90 to 90 degrees"),
        ("dec", float("-inf"), "a latitude is from -90 to 90 degrees"),
        ("ra", float("inf"), "a position is finite"),
        ("ra", None, "one of longitude and latitude is missing, the other is not"),
        ("dec", float("nan"), "one of longitude and latitude is missing, the other is not"),
        ("id", None, "it is NULL, and the column is a key"),
    ],
)
def test_a_bad_row_is_named_wherever_it_is(read, column, value, reason):
    count = 300_000
    columns = {"id": pa.array(np.arange(count)), "ra": pa.array(np.zeros(count)), "dec": pa.array(np.zeros(count))}
    place, shown = 299_998, "NULL" if value is None or value != value else value  # noqa: PLR0124 (NaN is not itself)
    bad = pa.array([value], columns[column].type)
    columns[column] = pa.concat_arrays([columns[column].slice(0, place), bad, columns[column].slice(place + 1)])
    with pytest.raises(BadRowError, match=rf"rows\.parquet, row 299999, column '{column}', value {shown}: {reason}"):
        read(**columns)


def test_the_histogram_sees_the_rows_that_have_a_position(tmp_path):
    pq.write_table(pa.table({"id": [1, 2], "ra": [370.0, None], "dec": [1.0, None]}), tmp_path / "rows.parquet")
    file = open_file(tmp_path / "rows.parquet")
    ((ra, dec),) = read_positions(STAR, file, match_columns(STAR, file))
    assert (ra.tolist(), dec.tolist()) == ([10.0], [1.0])


def test_a_column_of_a_wrong_type_is_an_error_of_the_file(read):
    with pytest.raises(BadFileError, match=r"rows\.parquet, column 'dec': it is of type bool"):
        read(id=[1], ra=[1.0], dec=[True])


def test_a_long_value_is_shown_in_part(read):
    name = Table("n", TableRole.REPLICATED, (Column("name", ColumnType.STRING, length=5),))
    with pytest.raises(BadRowError, match=r"value 'x{79}\.\.\.: it is longer"):
        read(name, name=["x" * 10_000])


def test_what_cannot_be_derived_is_an_error_of_its_row(read):
    key = Column("key", ColumnType.LONG, derived_by="tycho_key", derived_from=("tyc_id", "ccdm"))
    with pytest.raises(BadRowError, match=r"row 2, column 'key', value '1-x-1': tyc_id is not of the form"):
        read(Table("n", TableRole.REPLICATED, (key,)), tyc_id=["1-13-1", "1-x-1"], ccdm=pa.array([None, None], pa.string()))


def test_null_in_a_column_that_is_not_nullable(read):
    table = Table("n", TableRole.REPLICATED, (Column("a", ColumnType.LONG, nullable=False),))
    with pytest.raises(BadRowError, match=r"row 2, column 'a', value NULL: it is NULL, and the column is not nullable"):
        read(table, a=[1.0, float("nan")])
