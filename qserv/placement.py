"""Which nodes hold which chunk: weighted rendezvous hashing.

Each node draws a score for each chunk of a family from a hash of the three names; the R highest scores win. A node that comes or
goes moves only the chunks that it wins or held, and every process computes the same answer without asking anyone. The weighting is
that of C. Schindelhauer and G. Schomaker, "Weighted Distributed Hash Tables" (SPAA 2005): score = -weight / ln(u), u uniform in
(0, 1), gives each node a share of the chunks in proportion to its weight.

Pure: no clock, no socket, no database.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping

from qserv.errors import ClusterError
from qserv.ids import ChunkId, NodeId


def place_chunk(family: str, chunk: ChunkId, weights: Mapping[NodeId, float], replicas: int = 1) -> tuple[NodeId, ...]:
    """Return the nodes that hold a chunk, the preferred one first.

    Parameters
    ----------
    family
        Databases of one family are co-located: the same chunk lies on the same nodes.
    chunk
        The chunk; chunk 0 is placed like any other.
    weights
        Relative size of each node, above zero.
    replicas
        How many nodes hold the chunk.

    Raises
    ------
    ClusterError
        There are fewer nodes than replicas.
    """
    if not 1 <= replicas <= len(weights):
        msg = (
            f"{replicas} replicas of a chunk need as many nodes, and there are {len(weights)}; add nodes or ask for fewer replicas"
        )
        raise ClusterError(msg)
    scores = sorted(((_score(family, chunk, node, weight), node) for node, weight in weights.items()), reverse=True)
    return tuple(node for _, node in scores[:replicas])


def place_chunks(
    family: str,
    chunks: Iterable[ChunkId],
    weights: Mapping[NodeId, float],
    replicas: int = 1,
) -> dict[ChunkId, tuple[NodeId, ...]]:
    """Return the nodes of every chunk; see `place_chunk`."""
    return {chunk: place_chunk(family, chunk, weights, replicas) for chunk in chunks}


def _score(family: str, chunk: ChunkId, node: NodeId, weight: float) -> float:
    # Lengths in front, so that no two triples of names spell the same bytes.
    name = b"".join(f"{len(part)}:{part}".encode() for part in (family, str(chunk), node))
    drawn = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 11  # 53 bits, exact in a float
    return -weight / math.log((drawn + 0.5) / 2**53)
