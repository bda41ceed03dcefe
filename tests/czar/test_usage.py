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
    usage.add("ann", 100, 1)  # all that ann may, and no more
    usage.check("bob")
    with pytest.raises(UserRowsError, match=r"^ann has read the 100 rows that a user may within 60 s; try again later"):
        usage.check("ann")
    usage.hear(usage.tell(), {"ann": Reading(100, 1)})
    assert usage.tell().read == {}
    with pytest.raises(UserRowsError):
        usage.check("ann")
    usage.hear(usage.tell(), {})
    usage.check("ann")
    usage.add("ann", 100, 1)
    with pytest.raises(UserRowsError):
        usage.add("ann", 1, 1)


def test_what_other_czars_count_counts(usage):
    usage.add("ann", 10, 1)
    told = usage.tell()
    usage.add("ann", 5, 1)  # while it is written
    usage.check("bob")
    usage.hear(told, {"ann": Reading(90, 9)})
    assert (usage.tell().read, usage.tell().users) == ({"ann": Reading(5, 1)}, {"ann", "bob"})
    usage.add("ann", 5, 1)
    with pytest.raises(UserRowsError):
        usage.add("ann", 1, 1)


def test_what_could_not_be_written_is_written_next(usage):
    usage.add("ann", 10, 1)
    assert usage.tell() == usage.tell()


def test_bytes_are_counted_as_rows_are(usage):
    usage.add("ann", 1, 5000)
    with pytest.raises(UserBytesError, match=r"the 5\.0 kB that a user may") as met:
        usage.check("ann")
    assert met.value.retryable
