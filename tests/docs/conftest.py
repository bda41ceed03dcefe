"""The pages, their fenced blocks, and a catalogue as a czar would read it: the stars on 12 chunks, as in the pages."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from czar.catalogue import Catalogue, ColumnStatistics, TableEntry
from czar.reading import PROVENANCE_ENTRIES
from partitioner.chunkmap import ChunkMap
from partitioner.nearest import REACH_DEG
from qserv.ids import NULL_CHUNK, REPLICATED_CHUNK, NodeId
from schema.catalogues import schema_path
from schema.felis import read_database
from schema.model import TableRole
from schema.provenance import PROVENANCE
from schema.tap_schema import TAP_SCHEMA

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NODE = NodeId("node-1")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``kind`` is what stands behind its opening fence."""

    page: str
    kind: str
    text: str


def blocks_of(page):
    return [Block(page.name, match["kind"].strip(), match["text"]) for match in FENCE.finditer(page.read_text())]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


@pytest.fixture(scope="session")
def pages():
    return PAGES


@pytest.fixture(scope="session")
def blocks():
    return BLOCKS


@pytest.fixture(scope="session")
def page():
    """Return the text of a page by its path in the repository."""
    return lambda path: (ROOT / path).read_text()


@pytest.fixture
def told(request):
    """Check that a page holds a text where it now holds ``found``; with --update-approved, put it there."""

    def check(path, found, expected):
        if request.config.getoption("--update-approved") and found != expected:
            (ROOT / path).write_text((ROOT / path).read_text().replace(found, expected))
            return
        assert found == expected, f"{path} tells something else; read it again and renew this part with --update-approved"

    return check


@pytest.fixture(scope="session")
def tracked_texts():
    """Path and text of every file that git tracks, but for binary ones."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("git, or the repository's history, is not there to say which files are tracked")
    # Who runs the tests need not be who owns the clone.
    listed = subprocess.run([git, "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    found = {}
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" not in content:
            found[name] = content.decode()
    return found


@pytest.fixture(scope="session")
def catalogue():
    chunk_map = ChunkMap.uniform(0)
    stars = read_database(schema_path("stars"))
    entries = [
        _entry(stars, stars.by_name["hipparcos"], np.concatenate(([NULL_CHUNK], chunk_map.nuniq))),
        _entry(stars, stars.by_name["bigsky"], chunk_map.nuniq),
        *(_entry(TAP_SCHEMA, table, np.array([REPLICATED_CHUNK])) for table in TAP_SCHEMA.tables),
        *PROVENANCE_ENTRIES,
    ]
    replicas = {"stars": dict.fromkeys((NULL_CHUNK, *chunk_map.nuniq.tolist()), (NODE,))}
    return Catalogue(1, (stars, PROVENANCE, TAP_SCHEMA), tuple(entries), {"stars": chunk_map}, replicas, (NODE,))


def _entry(database, table, chunks):
    counts = np.full(len(chunks), 1000)
    near = np.where(chunks > NULL_CHUNK, 10, 0)
    measured = frozenset(key.name for key in table.foreign_keys if key.max_separation_deg)
    reach = REACH_DEG if table.role is TableRole.DIRECTOR else None
    friends = None if reach is None else np.full(len(chunks), reach)
    known = {"magnitude": _magnitudes(len(chunks))} if "magnitude" in table.by_name else {}
    return TableEntry(database.name, database.family, table, chunks, counts, near, known, None, measured, reach, friends)


def _magnitudes(count):
    """Statistics of magnitudes, in each chunk those of all stars of Hipparcos."""
    none = np.zeros(count, dtype=np.int64)
    return ColumnStatistics(np.full(count, -1.44), np.full(count, 14.08), np.ones(count, bool), none, none.astype(bool))
