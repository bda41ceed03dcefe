"""A query while it runs: in one go where it is chunk-local, else step after step."""

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from czar.analyse import Query
from czar.analyse.query import Output
from czar.dispatch import Dispatch
from czar.joining import Part, gathered
from czar.lanes import first_of, lane_of
from czar.limiting import limited
from czar.limits import in_step, step_within, time_limit_error
from czar.measures import PartRun, StepRun
from czar.merge import Merger
from czar.placing import assignments
from czar.plan.model import Plan
from czar.plan.rest import looked_up, rest
from czar.planning import planned_query
from czar.scratch import Scratch, Workspace
from czar.statements import Connections, Statements
from czar.steps.counts import CountCut
from czar.steps.cut import Cut, next_cut
from czar.steps.intermediate import Intermediate, arrays_of, can_be_sent, intermediate, sendable_bytes, step_batch, step_schema
from qserv.errors import QueryLimitError
from qserv.ids import NodeId
from qserv.settings import Settings
from workers.client import WorkerClient
from workers.protocol import Lane

Result = TypeVar("Result")


@dataclass(frozen=True)
class Engine:
    """What all queries of a czar share."""

    workers: dict[NodeId, WorkerClient]
    merger: Merger
    scratch: Scratch
    provenance: Connections
    """To the metadata database, under the role that reads provenance alone."""
    settings: Settings
    threads: Executor
    locate: Callable[[Query], Awaitable[Query]]
    """Asks the director index where the keys of a query are."""


@dataclass(frozen=True)
class Rows:
    """Rows as they come, their schema (more columns than outputs where hidden ones order them), and what they are."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    outputs: tuple[Output, ...]
    come_together: bool = True
    """Whether all of them come about when the first ones do; not from a scan, which may find some now and then."""

    def parts(self) -> Iterator[Part]:
        """Yield them as they are to be handed on."""
        return gathered(self.batches) if self.come_together else ((batch, False) for batch in self.batches)


@dataclass(frozen=True)
class FirstRows:
    """The begin of an answer: its columns, the first rows where they have come, and what brings the others."""

    schema: pa.Schema
    outputs: tuple[Output, ...]
    first: Part | None
    others: Iterator[Part]


class Run:
    """One query. `close` ends whatever of it runs; any thread may call it."""

    def __init__(self, engine: Engine, query_id: str) -> None:
        self._engine, self._query_id = engine, query_id
        self._deadline_s = time.monotonic() + engine.settings.query_timeout_s
        self._lock = threading.Lock()
        self._stops: list[Callable[[], None]] = []
        self._stopped = False
        self._names = (f"s{number}" for number in itertools.count())
        self._workspace: Workspace | None = None
        self._statements: Statements | None = None
        """Of the metadata database."""
        self._dispatches: list[Dispatch] = []
        self.measured = PartRun(time.monotonic)
        """What each part took so far."""

    @property
    def chunks_done(self) -> int:
        """Chunks whose rows are here, of all steps."""
        return sum(dispatch.chunks_done for dispatch in self._dispatches)

    @property
    def chunks_total(self) -> int:
        """Chunks that were asked so far, in all steps."""
        return sum(dispatch.chunks_total for dispatch in self._dispatches)

    async def answer(self, query: Query, max_rows: int | None) -> FirstRows:
        """Run a query up to its first rows.

        Raises
        ------
        QservError
            Why there is no answer.
        """
        left = await self._settled(query, max_rows, self.measured)
        return await self._in_thread(self._begun, left, max_rows)

    async def read_to_end(self, rows: FirstRows) -> tuple[int, int]:
        """Read an answer for what it took alone; return its rows and bytes."""

        def read() -> tuple[int, int]:
            count = size_bytes = 0
            for batch, _ in itertools.chain(filter(None, [rows.first]), rows.others):
                count += batch.num_rows
                size_bytes += batch.nbytes
            return count, size_bytes

        return await self._in_thread(read)

    async def _settled(self, query: Query, max_rows: int | None, part: PartRun) -> Plan | Query:
        """Run the steps of a query; return the plan of the rest, or the rest itself if it reads only the rows of steps."""
        while True:
            planned = await planned_query(query, self._engine.locate, max_rows)
            if isinstance(planned, Plan):
                part.plan = planned
                return planned
            cut = next_cut(query, next(self._names), planned.reason, planned.first)
            if cut is None:
                return query
            step = part.step(cut.name, planned.reason)
            query = cut.with_rows(await self._step(cut, step))
            step.is_written = all(source.entry is not step.found for source in query.sources)

    async def _step(self, cut: Cut | CountCut, step: StepRun) -> Intermediate:
        """Answer a part of a query; few rows are kept here, many in the scratch database."""
        try:
            with step.timed():
                left = await self._settled(cut.step, None, step.part)
                found = await self._in_thread(self._kept, cut.name, left, sendable_bytes(len(cut.rest.chunks)), step.part)
        except QueryLimitError as error:
            raise in_step(error, cut.name, [source.entry.table.name for source in cut.step.sources], step.reason) from error
        step.found = found
        return found

    def close(self) -> None:
        """Stop what runs, here and on the nodes."""
        with self._lock:
            self._stopped = True
            stops, self._stops = self._stops, []
        for stop in stops:
            stop()

    async def _in_thread(self, function: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._engine.threads, function, *arguments)

    def _begun(self, left: Plan | Query, max_rows: int | None) -> FirstRows:
        """Begin the last part of a query. Rows that come together are read in the same thread: to change it takes longer."""
        rows = self._planned(left, self.measured) if isinstance(left, Plan) else self._rest(left, max_rows)
        parts = rows.parts()
        return FirstRows(rows.schema, rows.outputs, next(parts, None) if rows.come_together else None, parts)

    def _planned(self, plan: Plan, part: PartRun) -> Rows:
        if plan.known_row is not None:
            batch = pa.RecordBatch.from_pydict({f"c{i}": pa.array([n], pa.int64()) for i, n in enumerate(plan.known_row)})
            return Rows(batch.schema, iter([batch]), plan.outputs)
        if plan.metadata_query is not None:
            return self._of_metadata(plan.metadata_query, plan.outputs, part)
        return self._dispatched(plan, part)

    def _of_metadata(self, statement: str, outputs: tuple[Output, ...], part: PartRun) -> Rows:
        """Ask the metadata database."""
        stage = part.stage("metadata")
        with stage.timed():
            if self._statements is None:
                self._statements = self._engine.provenance.statements(self._remaining_s())
                self._stoppable(self._statements.close)
            reader = self._statements.ask(statement)
        return Rows(reader.schema, stage.counted(reader), outputs)

    def _dispatched(self, plan: Plan, part: PartRun) -> Rows:
        """Dispatch and merge; runs in a thread, because it waits for the first node."""
        stage, lane = part.stage("nodes"), lane_of(plan)
        with stage.timed():
            dispatch = Dispatch(
                query_id=self._query_id,
                template=plan.step.template if plan.step else "",
                assignments=assignments(plan, self._query_id),
                workers=self._engine.workers,
                timeout_s=self._remaining_s(),
                held_bytes=self._engine.settings.result_spill_bytes,
                lane=lane,
                first=first_of(plan),
                return_s=self._engine.settings.node_return_s,
            )
            self._dispatches.append(dispatch)
            self._stoppable(dispatch.close)
            schema = dispatch.schema
        sent = stage.counted(dispatch)
        if plan.combine is None:
            found = limited(sent, plan.offset, plan.limit)
            return Rows(schema, found, plan.outputs, come_together=lane is Lane.INTERACTIVE)
        stage = part.stage("combine")
        with stage.timed():
            merge = self._engine.merger.merge(self._remaining_s())
            self._stoppable(merge.close)
            merged = merge.combine(plan.combine, schema, sent, plan.wide)
        if plan.finish is None:
            return Rows(merged.schema, stage.counted(merged), plan.outputs)
        finish = part.stage("finish")
        with finish.timed():
            work = self._engine.scratch.workspace(self._remaining_s())
            self._stoppable(work.close)
            work.load("merged", merged.schema, stage.counted(merged))
            finished = work.ask(plan.finish)
        return Rows(finished.schema, finish.counted(finished), plan.outputs)

    def _kept(self, name: str, left: Plan | Query, few_bytes: int, part: PartRun) -> Intermediate:
        """Run the last part of a step, and keep its rows: up to ``few_bytes`` of them here."""
        if isinstance(left, Query):
            return self._made(name, left, few_bytes, part)
        rows = self._planned(left, part)
        schema = step_schema(rows.outputs, rows.schema, left.carried)
        batches = (step_batch(batch, schema) for batch in rows.batches)
        held: list[pa.RecordBatch] = []
        size_bytes = 0
        for batch in batches:
            held.append(batch)
            size_bytes += batch.nbytes
            if size_bytes > few_bytes:
                break
        else:
            if can_be_sent(schema):
                return intermediate(name, rows.outputs, pa.Table.from_batches(held, schema))
        self._work().load(name, schema, step_within(itertools.chain(held, batches), self._engine.settings.max_step_bytes))
        return intermediate(name, rows.outputs, is_large=True, arrays=arrays_of(schema))

    def _made(self, name: str, query: Query, few_bytes: int, part: PartRun) -> Intermediate:
        """Compute a step over the rows of its own steps, where they are."""
        names = [output.name for output in query.outputs]
        part.rest = rest(query, None)
        stage = part.stage("rest")
        with stage.timed():
            made = self._loaded(query).make(name, part.rest, names, self._engine.settings.max_step_bytes)
        stage.add(made.rows, made.size_bytes)
        if made.size_bytes > few_bytes or self._work().text_bytes(name) > few_bytes:
            return intermediate(name, query.outputs, is_large=True, arrays=made.arrays)
        found = self._work().read(name)
        if not can_be_sent(found.schema):
            return intermediate(name, query.outputs, is_large=True, arrays=made.arrays)
        return intermediate(name, query.outputs, found)

    def _rest(self, query: Query, max_rows: int | None) -> Rows:
        """Compute what is left of a query over the rows of its steps."""
        self.measured.rest = rest(query, max_rows)
        stage = self.measured.stage("rest")
        with stage.timed():
            reader = self._loaded(query).ask(self.measured.rest, is_shown=not query.is_step)
        return Rows(reader.schema, stage.counted(reader), query.outputs)

    def _loaded(self, query: Query) -> Workspace:
        """Bring the rows of a query's steps into the scratch database."""
        work = self._work()
        for source in query.sources:
            if isinstance(source.entry, Intermediate) and source.entry.rows is not None:
                work.load(source.entry.table.name, source.entry.rows.schema, source.entry.rows.to_batches())
        for name, columns in looked_up(query):
            work.index(name, columns)
        return work

    def _work(self) -> Workspace:
        if self._workspace is None:
            self._workspace = self._engine.scratch.workspace(self._remaining_s())
            self._stoppable(self._workspace.close)
        return self._workspace

    def _stoppable(self, stop: Callable[[], None]) -> None:
        with self._lock:
            if not self._stopped:
                self._stops.append(stop)
                return
        stop()

    def _remaining_s(self) -> float:
        remaining_s = self._deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise time_limit_error(self._engine.settings.query_timeout_s)
        return remaining_s
