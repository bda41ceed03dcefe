"""Rows -> sorted runs -> files of a node -> the rows of a chunk, in order."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import sorting
from ingest.chunking import ChunkedRows
from ingest.sorting import Gathered
from qserv.errors import IngestError
from qserv.metadata.transactions import Contribution
from workers.protocol import PARTS, RunLoad
from workers.runs import merging
from workers.runs.files import RunFiles
from workers.runs.merging import SortedRows

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("_healpix_29", pa.int64())])
UNPLACED = pa.schema([("id", pa.int64())])
NODES = ["one", "two", "three"]


class Sky:
    """Nodes that hold the chunks: each chunk lies on two of them."""

    def __getitem__(self, chunk):
        return [NODES[chunk % 3], NODES[(chunk + 1) % 3]]


def rows(pairs, first=0):
    """Return rows at (chunk, pixel) pairs; ids count up."""
    ids = range(first, first + len(pairs))
    columns = [
        pa.array(ids, pa.int64()),
        pa.array(map(text, ids), pa.string()),
        pa.array([pixel for _, pixel in pairs], pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def text(number):
    return f"t{number}"


def chunked(pairs, overlap=(), first=0):
    chunks, near = (np.array([chunk for chunk, _ in each], dtype=np.int64) for each in (pairs, overlap))
    return ChunkedRows(rows(pairs, first), chunks, rows(overlap, 10**6 + first), near)


def contribution(name="file"):
    return Contribution("object", name, None, None, 0, 0, 1)


def kept(directory, runs, schema=SCHEMA):
    """Write runs as each node keeps them; return the rows of both parts of each node."""
    found = {}
    for node in NODES:
        files = RunFiles(directory / node)
        for number, run in enumerate(runs):
            for part, of_node in run.nodes(Sky()).get(node, {}).items():
                message = RunLoad(7, 8, number, part, list(of_node.slices), of_node.ends)
                assert files.write(RunLoad.decode(message.encode()[len(b"run:") :]), schema, of_node.batches()) == of_node.ends[-1]
        found[node] = {part: SortedRows(schema, files.open(7, 8, range(len(runs)), part)) for part in PARTS}
    return found


places = st.tuples(st.sampled_from([0, 4, 5, 17]), st.none() | st.integers(0, 12 * 4**29 - 1) | st.integers(0, 3))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.lists(places, max_size=30), st.lists(places, max_size=5), st.booleans()), max_size=8),
    st.sampled_from([1, 500, 2000, 10**9]),
    st.sampled_from([1, 200, 10**9]),
    st.sampled_from([(1, 1), (100, 1), (100, 50), (100, 10**6), (10**6, 50), (10**6, 10**6)]),
)
def test_each_chunk_comes_back_whole_and_sorted_on_all_its_nodes(tmp_path_factory, batches, run_bytes, piece_bytes, batch_bytes):
    gathered, runs, files = Gathered(SCHEMA, run_bytes), [], 0
    expected = {part: [] for part in PARTS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "PIECE_BYTES", piece_bytes)
        patch.setattr(sorting, "LARGEST_BATCH_BYTES", batch_bytes[0])
        patch.setattr(sorting, "SMALLEST_BATCH_BYTES", batch_bytes[1])
        for number, (pairs, overlap, ends) in enumerate(batches):
            gathered.add(chunked(pairs, overlap, first=1000 * number))
            for part, listed, first in (("base", pairs, 0), ("overlap", overlap, 10**6)):
                ids = itertools.count(first + 1000 * number)
                expected[part] += [(key, text(key), pixel, chunk) for key, (chunk, pixel) in zip(ids, listed, strict=False)]
            if ends:
                files += 1
                gathered.end(contribution())
            if gathered.full:
                runs.append(gathered.take().sort())
        runs.append(gathered.take().sort())
        if not gathered.empty:
            runs.append(gathered.take().sort())
        assert gathered.empty
        assert sum(len(run.ended) for run in runs) == files
        stored = kept(tmp_path_factory.mktemp("runs"), runs)
        for node, part in ((node, part) for node in NODES for part in PARTS):
            wanted = [row for row in expected[part] if node in Sky()[row[-1]]]
            found = stored[node][part]
            assert found.row_counts == dict(Counter(row[-1] for row in wanted))
            for chunk in (0, 4, 5, 17, 99):
                assert found.has(chunk) == (chunk in found.row_counts)
            for chunk in found.row_counts:
                read = list(pa.Table.from_batches(found.read(chunk), SCHEMA).to_pydict().values())
                pixels = [-1 if pixel is None else pixel for pixel in read[2]]
                assert pixels == sorted(pixels)
                assert pa.Table.from_batches(found.read(chunk, ["id"]))["id"].to_pylist() == read[0]
                assert sorted(zip(*read, strict=True)) == sorted(row[:3] for row in wanted if row[-1] == chunk)


def test_a_run_has_whole_files_or_a_piece_of_one():
    gathered = Gathered(SCHEMA, 10**9)
    ids = []
    for number, name in enumerate(["a", "b", None]):
        gathered.add(chunked([(4, 1)] * 3, first=10 * number))
        if name:
            gathered.end(contribution(name))
    for ended, count in ((["a", "b"], 6), ([], 3)):
        run = gathered.take().sort()
        assert ([each.source for each in run.ended], run.base.rows.num_rows) == (ended, count)
        ids += run.base.rows["id"].to_pylist()
    assert ids == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    # What is left of a file may go with those behind it; one without rows goes with the next run.
    gathered.add(chunked([(4, 1)], first=30))
    for name in ("c", "empty"):
        gathered.end(contribution(name))
    gathered.add(chunked([(4, 1)], first=40))
    gathered.end(contribution("d"))
    assert [each.source for each in gathered.take().sort().ended] == ["c", "empty", "d"]
    assert gathered.empty
    # One of which all rows went before ends by itself, without those of the next one, which has not ended.
    gathered.end(contribution("before"))
    gathered.add(chunked([(4, 1)], first=50))
    run = gathered.take().sort()
    assert ([each.source for each in run.ended], run.base.rows.num_rows) == (["before"], 0)
    assert gathered.take().sort().base.rows["id"].to_pylist() == [50]


def test_rows_without_pixels_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "LARGEST_BATCH_BYTES", 24)
    gathered, runs, ids = Gathered(UNPLACED, 100), [], [5, 3, 9, 1, 7, 2] * 20
    for start in range(0, len(ids), 7):
        part = ids[start : start + 7]
        batch = pa.RecordBatch.from_arrays([pa.array(part)], schema=UNPLACED)
        gathered.add(ChunkedRows(batch, np.full(len(part), -1), batch.slice(0, 0), np.empty(0, np.int64)))
        if gathered.full:
            runs.append(gathered.take().sort())
    runs.append(gathered.take().sort())
    assert len(runs) > 3
    found = kept(tmp_path, runs, UNPLACED)["three"]["base"]
    assert [row["id"] for part in found.read(-1) for row in part.to_pylist()] == ids


@pytest.fixture
def files(tmp_path):
    return RunFiles(tmp_path / "runs")


def message(count=10, **changed):
    told = {"transaction": 1, "table": 2, "run": 3, "part": "base", "chunks": [4], "ends": [count]}
    return RunLoad(**(told | changed))


def files_below(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


def batches(*counts):
    return [rows([(4, 1)] * count) for count in counts]


@pytest.mark.parametrize(
    ("told", "sent", "complaint"),
    [
        (message(10), batches(4, 4), r"8 rows of run 3 came, 10 were told of"),
        (message(10), batches(4, 4, 4), "12 rows of run 3 came"),
        (message(part="../base"), batches(4, 4, 2), "is named by three numbers and one of base, overlap"),
        (message(table="../2"), batches(4, 4, 2), "is named by three numbers"),
        (message(chunks=[4, 5]), batches(4, 4, 2), "chunks"),
        (message(chunks=[]), batches(4, 4, 2), "which rows are of which chunks"),
        (message(10), batches(), "0 rows of run 3 came"),
    ],
)
def test_rows_that_are_not_those_that_were_told_of_are_not_kept(files, tmp_path, told, sent, complaint):
    with pytest.raises(IngestError, match=complaint):
        files.write(told, SCHEMA, sent)
    assert not files_below(tmp_path)


def test_a_sender_that_dies_leaves_nothing_and_what_was_there(files, tmp_path):
    def dying():
        yield from batches(4)
        msg = "the sender is gone"
        raise IngestError(msg)

    files.write(message(10), SCHEMA, batches(4, 4, 2))
    with pytest.raises(IngestError, match="the sender is gone"):
        files.write(message(6), SCHEMA, dying())
    (run,) = files.open(1, 2, [3], "base")
    assert sum(batch.num_rows for batch in run.read(4)) == 10
    assert len(files_below(tmp_path)) == 1


def test_a_run_that_comes_again_takes_the_place_of_itself(files):
    for count in (10, 4):
        files.write(message(count), SCHEMA, batches(*[4] * (count // 4), *[count % 4] * (count % 4 > 0)))
    (run,) = files.open(1, 2, [3], "base")
    assert sum(batch.num_rows for batch in run.read(4)) == 4


@pytest.mark.parametrize("end", [0, 7, 8, 9, 400, -20, -1])
def test_a_damaged_file_is_named(files, tmp_path, end):
    files.write(message(10), SCHEMA, batches(4, 4, 2))
    (path,) = (path for path in tmp_path.rglob("*.arrow"))
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(IngestError, match=r"rows that were sent to this node are lost: .*3-base\.arrow: .*; load them again"):
        files.open(1, 2, [3], "base")


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_many_runs_are_read_with_few_open_files(files):
    runs = range(300)
    for run in runs:
        files.write(message(4, run=run), SCHEMA, batches(4))
    before = open_files()
    found = SortedRows(SCHEMA, files.open(1, 2, runs, "base"))
    assert sum(rows.num_rows for rows in found.read(4) if open_files() < before + 100) == 1200


def test_runs_are_deleted_by_table_and_by_transaction(files, tmp_path):
    for transaction, table in ((1, 2), (1, 3), (2, 2)):
        files.write(message(4, transaction=transaction, table=table), SCHEMA, batches(4))
    for dropped, left in (((1, 2), 2), ((1, None), 1), ((5, None), 1), ((2, None), 0)):
        files.drop(*dropped)
        assert len(list(tmp_path.rglob("*.arrow"))) == left
