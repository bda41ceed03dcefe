"""Each row leads to its contribution and transaction, in any query; nobody sees those that are not committed."""

import asyncio
import hashlib
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from czar.service.client import Czar
from czar.session import Session
from ingest.service.client import Ingest
from ingest.service.models import IndexRequest, TransactionRequest
from ingest.service.sent_rows import parts
from qserv.cluster import METADATA_DATABASE, Role
from qserv.errors import IngestError, QservError, StepSizeError
from qserv.metadata.transactions import TransactionState
from qserv.settings import Settings
from tests.ingest.appending.conftest import TABLES, Night, rows_of

QUERIES = Path(__file__).with_name("provenance.sql").read_text().split(";")

KEY = 2**53 + 7
"""Of an object."""

CHAIN, BY_NUMBER = QUERIES[3], "SELECT * FROM provenance.contributions WHERE contribution_id = 1"

COUNTED = """
    SELECT c.row_count, COUNT(*) AS n
    FROM {db}.{table} AS r JOIN provenance.contributions AS c ON c.contribution_id = r."_contribution"
    GROUP BY c.contribution_id, c.row_count
"""

GROUPED = "SELECT row_count, COUNT(*) AS n FROM provenance.contributions WHERE table_name = 'many' GROUP BY row_count"


@pytest.fixture(scope="module")
def night_of_two(night_cluster, tmp_path_factory):
    """A database that was loaded and appended to; beside it, transactions that are open or were aborted."""
    home = night_cluster.cluster.home
    with Ingest.of_home(home, "tester") as ingest, Czar.of_home(home, user="tester") as czar:
        night = Night(night_cluster, ingest, czar, tmp_path_factory.mktemp("two"))
        database = night.load(rows_of(1), chunk_order=1)
        night.append(database, rows_of(2, 400, 50), f"{database}-first")
        night.append(database, {"object": rows_of(3, 800, 70)["object"]}, f"{database}-second")
        for name in ("gone", "open"):
            ingest.begin(f"{database}-{name}", TransactionRequest(append_to=database))
            night.send(f"{database}-{name}", name, "filter", rows_of(4, 1200)["filter"])
            if name == "gone":
                ingest.cancel(f"{database}-{name}")
                assert ingest.finished(f"{database}-{name}").state is TransactionState.ABORTED
        yield database
        ingest.cancel(f"{database}-open")
        ingest.finished(f"{database}-open")


@contextmanager
def plain(night, database):
    """The same rows in one PostgreSQL: those of objects by what was sent, those of provenance as they were written down."""
    with night.running.metadata() as session:
        session.execute(
            """
            CREATE TEMP TABLE transactions AS
                SELECT transaction_id, name, database, kind, begun AT TIME ZONE 'UTC' AS begun, ended AT TIME ZONE 'UTC' AS ended,
                    withdrawn AT TIME ZONE 'UTC' AS withdrawn, user_name, host, software
                FROM public.transactions WHERE state = 'committed';
            CREATE TEMP TABLE contributions AS
                SELECT contribution_id, transaction_id, name, table_name, source, size_bytes, sha256, row_count, rejected,
                    ended AT TIME ZONE 'UTC' AS ended
                FROM public.contributions WHERE state = 'done' AND transaction_id IN (SELECT transaction_id FROM transactions);
            CREATE TEMP TABLE object (id bigint, mag real, name text, "_contribution" int)
            """
        )
        number = """
            SELECT contribution_id FROM contributions JOIN transactions AS t USING (transaction_id)
            WHERE t.name = %s AND table_name = 'object'
        """
        for rows, sent in ((rows_of(1), "load"), (rows_of(2, 400, 50), "first"), (rows_of(3, 800, 70), "second")):
            (found,) = session.execute(number, [f"{database}-{sent}"]).fetchone()
            with session.cursor().copy("COPY object FROM STDIN") as copy:
                for row in rows["object"].select(["id", "mag", "name"]).to_pylist():
                    copy.write_row((*row.values(), found))
        yield session


def test_every_query_is_answered_as_by_one_postgresql(night, night_of_two):
    wrong = []
    with plain(night, night_of_two) as session:
        for query in QUERIES:
            asked = session.execute(query.replace("{db}.", "").replace("provenance.", ""))
            columns = [column.name for column in asked.description]
            expected = sorted(repr(dict(zip(columns, row, strict=True))) for row in asked)
            found = night.ask(night_of_two, query)
            if found != expected or not expected:
                wrong.append((query, found[:3], expected[:3]))
    assert wrong == []


def test_a_row_leads_to_the_file_that_was_sent_and_to_who_sent_it(night, night_of_two):
    for dialect in ("native", "adql"):
        (found,) = night.czar.query(f"{CHAIN} WHERE o.id = {KEY + 401}".format(db=night_of_two), dialect=dialect).to_pylist()
        assert found["sha256"] == hashlib.sha256(Path(found["source"]).read_bytes()).hexdigest()
        assert (found["name"], found["user_name"]) == (f"{night_of_two}-first", "tester")
        assert found["software"].startswith("qserv-healpix ")
    for table in TABLES:
        counted = night.czar.query(COUNTED.format(db=night_of_two, table=table))
        assert counted["n"] == counted["row_count"]
        assert counted.num_rows > 1


def test_a_row_that_came_as_a_stream_leads_to_it(night):
    rows = rows_of(5, 400, 50)
    database = night.load(rows_of(1), chunk_order=1)
    night.ingest.begin(f"{database}-stream", TransactionRequest(append_to=database))
    for table in TABLES:
        night.ingest.stream(f"{database}-stream", table, table, rows[table].to_reader())
    night.committed(f"{database}-stream")
    sent = b"".join(parts(rows["object"].to_reader()))
    source = f"{CHAIN} WHERE o.id = {KEY + 401}".format(db=database).replace("c.source", "c.source, c.name AS sent, c.size_bytes")
    (found,) = night.czar.query(source).to_pylist()
    assert (found["source"], found["sent"], found["name"]) == ("upload:rows", "object", f"{database}-stream")
    assert (found["size_bytes"], found["sha256"]) == (len(sent), hashlib.sha256(sent).hexdigest())
    for table in TABLES:
        counted = night.czar.query(COUNTED.format(db=database, table=table))
        assert sorted(counted["n"].to_pylist()) == sorted([rows_of(1)[table].num_rows, rows[table].num_rows])
        assert counted["n"] == counted["row_count"]


def test_few_rows_say_what_is_read(night, night_of_two):
    chain = CHAIN.format(db=night_of_two)
    by_key = night.czar.explain(f"{chain} WHERE o.id = {KEY}", analyze=True).facts
    assert [next(iter(step["part"]["measured"])) for step in by_key["steps"]] == ["nodes", "metadata", "metadata"]
    assert [step["part"]["measured"]["step"]["rows"] for step in by_key["steps"]] == [1, 1, 1]
    by_name = night.czar.explain(f"{chain} WHERE t.name = '{night_of_two}-first'", analyze=True).facts
    assert [step["part"]["measured"]["metadata"]["rows"] for step in by_name["steps"]] == [1, 4]
    assert by_name["chunk_query"]
    by_number = night.czar.explain(BY_NUMBER)
    assert by_number.facts["steps"] == []
    assert by_number.text.startswith("in the metadata database (PostgreSQL)")
    assert '"contributions"."contribution_id" = 1 AND "contributions"."version" <= ' in by_number.text


MANY = 200_000


@pytest.fixture
def many(night):
    """So many contributions of a transaction that has no rows."""
    with night.running.metadata() as session:
        (number,) = session.execute(
            "INSERT INTO transactions (name, database, state, user_name, host, software, ended, version)"
            " VALUES ('many', 'many', 'committed', '', '', '', now(), 0) RETURNING transaction_id"
        ).fetchone()
        session.execute(
            "INSERT INTO contributions (transaction_id, table_name, source, row_count, rejected, sha256)"
            " SELECT %s, 'many', n::text, n %% 10, 0, repeat('0', 64) FROM generate_series(1, %s) AS n",
            [number, MANY],
        )
        yield
        session.execute("DELETE FROM transactions WHERE name = 'many'")


@pytest.mark.usefixtures("many")
def test_many_contributions_go_through_the_scratch_database(night, night_of_two):
    chain = CHAIN.format(db=night_of_two)
    assert night.czar.query(chain).num_rows == 420
    assert {row["n"] for row in night.czar.query(GROUPED).to_pylist()} == {MANY // 10}
    assert night.czar.query("SELECT source FROM provenance.contributions WHERE table_name = 'many'").num_rows == MANY
    steps = night.czar.explain(chain, analyze=True).facts["steps"]
    assert steps[0]["rows_go_to"] == "the scratch database"
    assert steps[0]["part"]["measured"]["metadata"]["rows"] > MANY

    async def ask():
        settings = Settings(home=night.running.cluster.home, max_step_bytes=1_000_000)
        session = await Session.open(night.running.cluster, night.running.secrets, settings)
        try:
            with pytest.raises(StepSizeError, match=r"which reads contributions \(provenance is in the metadata database\)"):
                await session.query(chain)
            by_key = await session.query(f"{chain} WHERE o.id = {KEY}")
            assert [batch.num_rows async for batch in by_key.batches()] == [1]
        finally:
            await session.close()

    asyncio.run(ask())


def test_its_role_reads_what_users_may_see_and_nothing_else(night):
    conninfo = night.running.cluster.metadata.conninfo(Role.PROVENANCE, METADATA_DATABASE, night.running.secrets)
    with psycopg.connect(conninfo, autocommit=True) as session:
        session.execute("SELECT * FROM provenance.transactions, provenance.contributions LIMIT 1")
        for statement in ("SELECT 1 FROM public.transactions", "SELECT 1 FROM public.queries"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
        session.execute("SET default_transaction_read_only = off")
        for statement in ("CREATE TEMP TABLE t (c int)", "DELETE FROM provenance.transactions"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
    for hidden in ("version", "request", '"_contribution"'):
        with pytest.raises(QservError, match="unknown column"):
            night.czar.query(f"SELECT {hidden} FROM provenance.transactions")  # noqa: S608 (names of the test's own)


def test_no_alias_is_called_so(night):
    with pytest.raises(IngestError, match="is taken by PostgreSQL or by this software"):
        night.ingest.set_alias("Provenance", "x")


def test_what_is_committed_is_seen_at_once_and_nothing_else(night, night_of_two):
    seen = "SELECT name, kind, withdrawn FROM provenance.transactions WHERE database = '{db}' ORDER BY transaction_id"
    gone = "SELECT COUNT(*) AS n FROM provenance.contributions WHERE name IN ('gone-filter', 'open-filter')"
    names = [f"{night_of_two}-{each}" for each in ("load", "first", "second", "open", "mag", "no")]
    assert night.czar.query(seen.format(db=night_of_two))["name"].to_pylist() == names[:3]
    assert night.czar.query(gone)["n"].to_pylist() == [0]
    night.committed(names[3])
    night.ingest.index(names[4], night_of_two, "object", IndexRequest(columns=("mag",)))
    night.ingest.finished(names[4], 60)
    night.ingest.withdraw(names[5], names[3])
    night.ingest.finished(names[5], 60)
    found = night.czar.query(seen.format(db=night_of_two))
    assert (found["name"].to_pylist(), found["kind"].to_pylist()) == (names, ["transaction"] * 4 + ["index", "withdrawal"])
    assert [name for name, moment in zip(names, found["withdrawn"].to_pylist(), strict=True) if moment is not None] == [names[3]]
    assert night.czar.query(gone)["n"].to_pylist() == [1]
