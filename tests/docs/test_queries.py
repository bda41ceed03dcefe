import re

import pytest

from czar.analyse import NAMING, PRUNING, analyse
from czar.explain import explain
from czar.parse import one_query, parse
from czar.plan.build import build
from czar.snapshot import Snapshot
from qserv.errors import NotYetSupportedError, QueryError
from tap.adql.functions import FUNCTIONS
from tap.adql.geometry import GEOMETRY
from tap.adql.parse import parse_adql

REFUSED = re.compile(
    r"^\| `(?P<query>(?:SELECT|WITH|DROP) [^`]+)` \|(?: `(?P<code>[a-z_.]+)` \|)? (?P<message>.+) \|$", re.MULTILINE
)


def planned(query, catalogue, dialect="adql"):
    tree = one_query(parse_adql(query), query) if dialect == "adql" else parse(query)
    return build(*analyse(tree, catalogue, query), Snapshot())


def test_every_query_of_the_pages_is_answered(blocks, catalogue):
    queries = [(block, block.kind.split()[1:]) for block in blocks if block.kind.split()[:1] == ["sql"]]
    assert len(queries) > 15
    for block, words in queries:
        assert words in (["adql"], ["native"]), f"{block.page}: say in which dialect this is: {block.text}"
        plan = planned(block.text, catalogue, words[0])
        assert plan.outputs, block


def test_plans_in_one_query_are_what_explain_prints(blocks, catalogue, told):
    blocks = [block for block in blocks if block.page == "one-query.md"]
    queries = [block.text for block in blocks if block.kind == "sql adql"]
    plans = [block.text for block in blocks if "on each chunk" in block.text]
    for query, plan in zip(queries, plans, strict=True):
        # How many chunks and rows there are is the catalogue's of the page; what runs on them is not.
        printed = explain(planned(query, catalogue)).text + "\n"
        told("docs/one-query.md", *(text[text.index("on each chunk") :] for text in (plan, printed)))


def test_one_query_goes_through_all_rules(page):
    named = re.findall(r"^\| `(\w+)` \|", page("docs/one-query.md"), re.MULTILINE)
    assert named == [rule.__name__ for rule in (*NAMING, *PRUNING)]


@pytest.mark.parametrize(("name", "dialect"), [("docs/adql.md", "adql"), ("docs/sql.md", "native")])
def test_what_is_said_to_be_not_yet_supported_is_refused_so(name, dialect, page, catalogue):
    examples = list(REFUSED.finditer(page(name)))
    assert len(examples) > 5
    for example in examples:
        with pytest.raises(NotYetSupportedError) as refused:
            planned(example["query"], catalogue, dialect)
        assert str(refused.value).startswith(f"not yet supported: {example['message']}"), example["query"]


def test_examples_of_errors_have_the_code_and_the_message(page, catalogue, told):
    examples = list(REFUSED.finditer(page("docs/limits.md")))
    assert len(examples) > 5
    for example in examples:
        with pytest.raises(QueryError) as refused:
            planned(example["query"], catalogue)
        told("docs/limits.md", example[0], f"| `{example['query']}` | `{refused.value.code}` | {refused.value} |")


def test_every_function_is_named(page):
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", page("docs/adql.md")))))
    assert {*FUNCTIONS, *GEOMETRY} <= words
