"""Templates of chunk queries: slots are filled, braces of the user stay."""

import pytest

from workers.template import statement

TASKS = [{"t0": '"s"."a_1"', "t1": '"s"."{t0}"'}, {"t0": '"s"."a_2"', "t1": '"s"."b}}"'}]


def test_slots_are_filled_and_doubled_braces_are_braces():
    template = "SELECT '{{x}}' FROM {t0}, {t1} AS t, {t0}"
    assert statement(template, TASKS[:1]) == """SELECT '{x}' FROM "s"."a_1", "s"."{t0}" AS t, "s"."a_1\""""
    assert statement(template, TASKS[1:]) == """SELECT '{x}' FROM "s"."a_2", "s"."b}}" AS t, "s"."a_2\""""
    assert statement("SELECT 1", [{}]) == "SELECT 1"


def test_several_tasks_are_one_statement():
    assert statement("TABLE {t0}", TASKS) == '(TABLE "s"."a_1"\n)\nUNION ALL\n(TABLE "s"."a_2"\n)'


@pytest.mark.parametrize(
    ("template", "says"),
    [("SELECT {", "a single '{' at character 8"), ("{t0} }", "a single '}' at character 6"), ("{t2}", "slot 't2', .* has t0, t1")],
)
def test_what_is_no_template_is_refused(template, says):
    with pytest.raises(ValueError, match=says):
        statement(template, TASKS)
