import inspect
import re
from pathlib import Path

from typer.testing import CliRunner

from czar.parse import MAX_TEXT_BYTES
from ingest.service.streams import MOST_BATCH_BYTES, STREAMS_AT_A_TIME
from qserv import errors
from qserv.cli import COMMANDS, app
from qserv.cli.exits import exit_code
from qserv.settings import Settings
from tap.adql.geometry import MAX_VERTICES
from tap.app import MAX_BODY_BYTES
from tap.errors import status_of

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
NAMED_FILE = re.compile(r"(?<![\w./:-])(?:czar|docs|ingest|partitioner|pipelines|qserv|schema|tap|tests|workers)/[\w./-]*\w/?")
IDENTIFIER = re.compile(r"(?<![\w./-])[A-Za-z]\w*_\w+|(?<![\w./-])[A-Z][a-z]+(?:[A-Z][a-z]+)+\b")
CHUNK_TABLE = re.compile(r"(_\d+)?(_overlap)?$")

OF_OTHERS = {
    *("pg_hba", "pg_stat_io", "synchronize_seqscans"),
    *("CAP_DAC_OVERRIDE", "create_server", "current_time", "query_status", "run_sync", "submit_job"),
}
"""Names of PostgreSQL, the kernel, Python and pyVO."""

OF_EXAMPLES = {"cluster_id"}
"""Names of a reader's own catalogue."""

METRIC_OF_LANE = "qserv_lane_"
"""Names that begin so are put together, and looked at, where metrics are tested."""

# Put together, so that this file does not hold what it looks for.
REGISTRIES = tuple(".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("anaconda", "org"), ("npmjs", "org")))
MACHINE_PATHS = tuple(f"/{name}/" for name in ("work", "root"))


def headings(text):
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def code(text):
    return "\n".join(CODE.findall(text))


def test_links_lead_somewhere(pages):
    for page in pages:
        for match in LINK.finditer(page.read_text()):
            path, _, anchor = match["target"].partition("#")
            if "://" in path:
                continue
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name} links to {path}, which is not there"
            assert not anchor or anchor in headings(target.read_text()), f"{page.name}: {path} has no heading #{anchor}"


def test_index_lists_every_page(pages):
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / match["target"]).resolve() for match in LINK.finditer(index.read_text())}
    assert {page for page in pages if page.is_relative_to(index.parent) and page != index} <= listed


def test_targets_of_make_exist(pages):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in pages for target in re.findall(r"\bmake ([\w-]+)", code(page.read_text()))}
    assert {"demo", "test"} <= named <= targets


def test_commands_and_their_options_exist(pages):
    commands = {name: CliRunner().invoke(app, [name, "--help"]).output for name in COMMANDS}
    used = [match for page in pages for match in re.finditer(r"\bqserv ([a-z]+)\b([^\n`|]*)", code(page.read_text()))]
    assert len(used) > 10
    for match in used:
        assert match[1] in commands, match[0]
        for option in re.findall(r"--[a-z-]+", match[2]):
            assert option in commands[match[1]], match[0]


def test_files_that_the_pages_name_are_there(pages, tracked_texts):
    named = {match[0].rstrip("/") for page in pages for match in NAMED_FILE.finditer(code(page.read_text()))}
    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    modules = {name for page in pages for name in re.findall(r"`([\w-]+\.(?:py|sql|toml))`", page.read_text())}
    assert modules
    assert modules <= {Path(name).name for name in tracked_texts}


def test_names_that_the_pages_mention_are_those_of_the_code(pages, tracked_texts):
    known = {
        word
        for name, text in tracked_texts.items()
        if not name.endswith((".md", ".lock")) and not name.startswith("tests/docs/")
        for word in re.findall(r"\w+", f"{name} {text}")
    }
    known |= {Path(name).stem for name in tracked_texts}
    known |= {f"QSERV_{name.upper()}" for name in Settings.model_fields} | OF_OTHERS | OF_EXAMPLES
    unknown, seen = [], 0
    for page in pages:
        # What stands in fences are whole queries, plans, programs and answers: other tests read those.
        for span in re.findall(r"`([^`\n]+)`", FENCED.sub("", page.read_text())):
            words = [CHUNK_TABLE.sub("", word) for word in IDENTIFIER.findall(span) if not word.startswith(METRIC_OF_LANE)]
            seen += len(words)
            unknown += [(page.name, span, word) for word in words if word not in known]
    assert seen > 150
    assert unknown == []


def test_errors_have_the_status_and_exit_code_of_the_page(page):
    rows = re.findall(r"^\| `([a-z_.]+)` \| .* \| (\d+) \| (\d+) \|$", page("docs/limits.md"), re.MULTILINE)
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.QservError)]
    raised = [kind("what is wrong") for kind in kinds if kind is not errors.QservError]
    assert {(code, int(status), int(leaves)) for code, status, leaves in rows} == {
        (error.code, status_of(error), exit_code(error)) for error in raised
    }


def test_limits_are_those_of_the_page(page):
    text = page("docs/limits.md")
    fields = Settings.model_fields
    rows, seconds = fields["max_rows"].default, fields["query_timeout_s"].default
    for limit in (
        f"{rows:,}",
        f"{seconds:.0f} s",
        f"{MAX_TEXT_BYTES:,} bytes",
        f"{MAX_BODY_BYTES // 2**20} MiB",
        f"{MAX_VERTICES:,}",
        f"{MOST_BATCH_BYTES // 2**20} MiB",
        f"{STREAMS_AT_A_TIME}",
        f"{fields['upload_silence_s'].default:.0f} s",
    ):
        assert f"| {limit} |" in text


def test_no_file_names_a_registry_or_a_path_of_the_machine_it_was_written_on(tracked_texts):
    assert len(tracked_texts) > 100
    named = [(name, word) for name, text in tracked_texts.items() for word in (*REGISTRIES, *MACHINE_PATHS) if word in text.lower()]
    assert named == []
