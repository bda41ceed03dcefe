import pytest

from czar.usage import Usage
from qserv.errors import UserBytesError, UserRowsError
from qserv.metadata.readings import Reading
from qserv.settings import Settings


@pytest.fixture
def usage():
    settings = Settings().model_copy(update={"user_window_s": 60.0, "max_rows_per_user": 100, "max_bytes_per_user": 5000})
    return Usage(settings)


def test_who_has_read_all_rows_asks_again_when_they_are_long_ago(usage):
    usage.add("one", 100, 1)  # all that one may, and no more
    usage.check("other")
    with pytest.raises(UserRowsError, match=r"^one has read the 100 rows that a user may within 60 s; try again later"):
        usage.check("one")
    usage.hear(usage.tell(), {"one": Reading(100, 1)})
    assert usage.tell().read == {}
    with pytest.raises(UserRowsError):
        usage.check("one")
    usage.hear(usage.tell(), {})
    usage.check("one")
    usage.add("one", 100, 1)
    with pytest.raises(UserRowsError):
        usage.add("one", 1, 1)


def test_what_other_czars_count_counts(usage):
    usage.add("one", 10, 1)
    told = usage.tell()
    usage.add("one", 5, 1)  # while it is written
    usage.check("other")
    usage.hear(told, {"one": Reading(90, 9)})
    assert (usage.tell().read, usage.tell().users) == ({"one": Reading(5, 1)}, {"one", "other"})
    usage.add("one", 5, 1)
    with pytest.raises(UserRowsError):
        usage.add("one", 1, 1)


def test_what_could_not_be_written_is_written_next(usage):
    usage.add("one", 10, 1)
    assert usage.tell() == usage.tell()


def test_bytes_are_counted_as_rows_are(usage):
    usage.add("one", 1, 5000)
    with pytest.raises(UserBytesError, match=r"the 5\.0 kB that a user may") as met:
        usage.check("one")
    assert met.value.retryable
