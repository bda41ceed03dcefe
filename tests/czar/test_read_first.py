"""What is read first where a query names tables of provenance, and what of it the metadata database is asked for."""

import pytest

from tests.czar.test_explain import explained

JOINED = 'hipparcos AS h JOIN provenance.contributions AS c ON c.contribution_id = h."_contribution"'

SEEN = '"c"."version" <= 1'


def asked_first(query, catalogue):
    step = explained(query.replace("JOINED", JOINED), catalogue).steps[0].part
    return " ".join((step.metadata_query or step.chunk_query).split())


@pytest.mark.parametrize(
    "query",
    [
        "SELECT c.source FROM JOINED WHERE h.hip = 17",
        "SELECT c.source FROM JOINED WHERE h.hip IN (17, 18) AND c.rejected = 0",
        "SELECT c.source FROM JOINED WHERE DISTANCE(h.ra_degrees, h.dec_degrees, 10, 10) < 0.001",
        """SELECT (SELECT name FROM provenance.contributions WHERE contribution_id = h."_contribution") AS file
            FROM hipparcos AS h WHERE hip = 17""",
        """SELECT h.hip FROM hipparcos AS h WHERE h.hip = 17 AND EXISTS
            (SELECT 1 FROM provenance.contributions WHERE contribution_id = h."_contribution" AND rejected > 0)""",
        """WITH few AS (SELECT "_contribution" AS n FROM hipparcos WHERE hip = 17)
            SELECT source FROM few JOIN provenance.contributions ON contribution_id = n""",
    ],
)
def test_few_rows_of_a_table_of_the_nodes(query, catalogue):
    assert "FROM {t0} AS" in asked_first(query, catalogue)


@pytest.mark.parametrize(
    ("query", "end"),
    [
        ("SELECT c.source FROM JOINED WHERE h.magnitude < 3", f'"provenance"."contributions" AS "c" WHERE {SEEN}'),
        ("SELECT c.source FROM JOINED AND UPPER(c.name) = 'X'", f'"provenance"."contributions" AS "c" WHERE {SEEN}'),
        (
            "SELECT c.source FROM JOINED JOIN provenance.transactions AS t USING (transaction_id) WHERE t.name = 'x' OR kind = 'y'",
            '"provenance"."transactions" AS "t" WHERE ("t"."name" = \'x\' OR "t"."kind" = \'y\') AND "t"."version" <= 1',
        ),
        (
            "SELECT COUNT(*) FROM JOINED AND c.row_count BETWEEN 2 AND 3 AND LENGTH(c.name) = 3 AND c.row_count > h.hip",
            f'"provenance"."contributions" AS "c" WHERE "c"."row_count" BETWEEN 2 AND 3 AND {SEEN}',
        ),
        (
            """SELECT h.hip FROM hipparcos AS h LEFT JOIN provenance.contributions AS c
                ON c.contribution_id = h."_contribution" AND c.rejected = 0 WHERE c.name IS NULL""",
            f'"provenance"."contributions" AS "c" WHERE "c"."rejected" = 0 AND {SEEN}',
        ),
    ],
)
def test_what_the_metadata_database_is_asked_for(query, end, catalogue):
    assert asked_first(query, catalogue).endswith(end)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM provenance.contributions",
        "SELECT name, source FROM provenance.contributions AS c WHERE transaction_id IN (1, 2) ORDER BY ended LIMIT 3 OFFSET 1",
        "SELECT DISTINCT table_name FROM provenance.contributions WHERE ended > '2026-01-01' AND sha256 IS NOT NULL",
    ],
)
def test_what_it_answers_as_a_whole(query, catalogue):
    found = explained(query, catalogue)
    assert (found.steps, found.rest, found.chunk_query) == ((), None, None)
    assert '"version" <= 1' in found.metadata_query


def test_a_query_without_them_is_not_asked_of_it(catalogue):
    assert explained("SELECT hip FROM hipparcos", catalogue).metadata_query is None
