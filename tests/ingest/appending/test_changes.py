"""A czar that reads what has changed knows what one knows that reads all."""

import asyncio
import dataclasses

import numpy as np

from czar.reading import read_catalogue, read_changes
from qserv.cluster import METADATA_DATABASE, Role
from qserv.metadata.catalogue import load_catalogue, load_changes
from qserv.metadata.engine import connect, make_engine
from tests.ingest.appending.conftest import rows_of
from tests.ingest.appending.test_merges import merged
from tests.support.waiting import until


def plain(value):
    """Return a value whose parts can be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, [None if each != each else each for each in value.tolist()]  # noqa: PLR0124 (NaN)
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def known(entry, *, ranges):
    """Return a table as it is known; where a range is not known its ends are any."""
    found = plain(dataclasses.replace(entry, statistics={}))
    for name, column in entry.statistics.items() if ranges else ():
        ends = [np.where(column.is_known, end, end[:1]) if len(end) else end for end in (column.minimum, column.maximum)]
        found[name] = (
            plain([np.asarray(column.is_known), column.null_count, column.has_nan]),
            [[value for value, is_known in zip(end.tolist(), column.is_known.tolist(), strict=True) if is_known] for end in ends],
        )
    return found


def read(night, *since):
    """Return the catalogue: all of it, or what changed since one."""

    async def load():
        cluster = night.running.cluster
        engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, night.running.secrets))
        async with connect(engine) as connection:
            found = await (load_changes(connection, since[0].version) if since else load_catalogue(connection, statistics=True))
        await engine.dispose()
        return found

    found = asyncio.run(load())
    if not since:
        return read_catalogue(found)
    return None if found is None else read_changes(since[0], found)


def check(night, since):
    """Check that what changed since a catalogue leads to that of now; return it. Segments are merged meanwhile."""
    pair = []

    def of_one_moment():
        pair[:] = [read(night, since), read(night)]
        return pair[0].version == pair[1].version

    until(of_one_moment)
    one, other = pair
    assert one.replicas == other.replicas
    for mine, others in zip(one.entries, other.entries, strict=True):
        assert known(mine, ranges=True) == known(others, ranges=True), mine.name
    return one


def test_what_changed_is_what_all_of_it_says(night):
    parts = [rows_of(1, objects=20), rows_of(2, 400, 60), rows_of(3, 800, 10)]
    database = night.load(parts[0])
    first = read(night)
    night.append(database, parts[1])
    second = check(night, first)
    night.append(database, parts[2])
    check(night, second)
    check(night, first)
    merged(night, database)
    check(night, second)
    other = night.load({"filter": parts[0]["filter"]})
    assert read(night, first) is None
    assert other in {one.name for one in read(night).databases}
