"""Where the time of a cone goes: the stages of the query path, run in this process against the same cluster."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

import asyncio
import itertools
import time
from collections import defaultdict

from archive import Archive
from lookups import RADIUS_DEG
from measurement import Result, Sample

from czar.session import Session
from qserv.cluster import Secrets
from tap.adql.parse import parse_adql
from tap.formats.binary2 import Binary2Encoder
from tap.formats.encoder import Facts, Outcome
from tap.formats.fields import fields_of

STAGES = ("parse ADQL", "analyse and plan", "run on nodes and merge", "encode as VOTable")


def dissect(archive: Archive, table: str, centres: list[tuple[float, float]]) -> list[Result]:
    """Return the time of each stage over some cones. The rest of an answer's time is HTTP, and the change of processes."""
    spent = asyncio.run(_stages(archive, table, centres))
    return [
        Result(f"  of a cone: {stage}", "ms", Sample(tuple(spent[stage])), note="in the benchmark's process") for stage in STAGES
    ]


async def _stages(archive: Archive, table: str, centres: list[tuple[float, float]]) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = defaultdict(list)
    session = await Session.open(archive.cluster, Secrets.load(archive.settings.home), archive.settings)
    try:
        await session.catalogue()
        for ra, dec in centres:
            adql = f"SELECT * FROM {table} WHERE CONTAINS(POINT(ra_degrees, dec_degrees), CIRCLE({ra}, {dec}, {RADIUS_DEG})) = 1"
            clock = [time.perf_counter()]
            tree = parse_adql(adql)
            clock.append(time.perf_counter())
            await session.explain(tree.copy(), text=adql)
            clock.append(time.perf_counter())
            answer = await session.query(tree, dialect="adql", text=adql)
            batches = [batch async for batch in answer.batches()]
            clock.append(time.perf_counter())
            encoder = Binary2Encoder(fields_of(answer.columns, answer.schema), Facts(()))
            document = encoder.head() + b"".join(map(encoder.rows, batches)) + encoder.tail(Outcome())
            clock.append(time.perf_counter())
            assert document
            parse, plan, run, encode = (1000 * (end - start) for start, end in itertools.pairwise(clock))
            # A query is planned within its run; what `explain` took is taken off.
            for stage, took in zip(STAGES, (parse, plan, run - plan, encode), strict=True):
                spent[stage].append(took)
    finally:
        await session.close()
    return spent
