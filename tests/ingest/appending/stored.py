"""What nodes have of a database: of each part of each chunk, how many rows, and a hash of their content."""

from contextlib import ExitStack

import psycopg

from qserv.cluster import NODE_DATABASE, Role
from schema.physical import relation
from tests.ingest.appending.test_merges import segments
from tests.support.waiting import until

WHERE = """
    SELECT name, chunk, node_id, coalesce(segment, 0), coalesce(segments.row_count, chunks.row_count),
        coalesce(segments.overlap_row_count, chunks.overlap_row_count)
    FROM chunks JOIN tables USING (table_id) JOIN replicas USING (table_id, chunk) LEFT JOIN segments USING (table_id, chunk)
    WHERE database = %s AND chunk >= 0 AND replaced IS NULL"""

FACTS = """
    SELECT count(*), coalesce(sum(hashtextextended((to_jsonb(t) - '_contribution' - '_ended')::text, 0)::numeric), 0)
    FROM {relation} AS t"""


def stored(night, database):
    """Return the set of these facts, by table, chunk, and whether it is the overlap, over the replicas; of parts that have rows.

    All segments of a chunk are one first.
    """
    until(lambda: set(map(tuple, segments(night, database).values())) <= {(1, 1)}, 60)
    running, found = night.running, {}
    with ExitStack() as stack:
        nodes = {
            node.node: stack.enter_context(
                psycopg.connect(node.postgres.conninfo(Role.READER, NODE_DATABASE, running.secrets), autocommit=True)
            )
            for node in running.cluster.nodes
        }
        for table, chunk, node, segment, rows, near in stack.enter_context(running.metadata()).execute(WHERE, [database]):
            for overlap, count in ((False, rows), (True, near)):
                if count:
                    name = relation(database, table, chunk, overlap=overlap, segment=segment)
                    facts = nodes[node].execute(FACTS.format(relation=name)).fetchone()
                    assert facts[0] == count, name
                    of_nodes = found.setdefault((table, chunk, overlap), {})
                    of_nodes[node] = tuple(map(sum, zip(of_nodes.get(node, (0, 0)), facts, strict=True)))
    return {part: set(of_nodes.values()) for part, of_nodes in found.items()}
