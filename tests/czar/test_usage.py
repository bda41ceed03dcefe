import pytest

from czar.usage import Usage
from qserv.errors import UserBytesError, UserRowsError
from qserv.settings import Settings


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def usage(clock):
    settings = Settings().model_copy(update={"user_window_s": 60.0, "max_rows_per_user": 100, "max_bytes_per_user": 5000})
    return Usage(settings, clock)


def test_who_has_read_all_rows_asks_again_when_the_first_of_them_are_long_ago(usage, clock):
    usage.add("ann", 60, 1)
    clock.now_s += 30
    usage.add("ann", 40, 1)  # all that ann may, and no more
    usage.check("bob")
    with pytest.raises(UserRowsError, match=r"^ann has read the 100 rows that a user may within 60 s; try again later"):
        usage.check("ann")
    clock.now_s += 29
    with pytest.raises(UserRowsError):
        usage.check("ann")
    clock.now_s += 3
    usage.check("ann")
    usage.add("ann", 60, 1)
    with pytest.raises(UserRowsError):
        usage.add("ann", 1, 1)


def test_bytes_are_counted_as_rows_are(usage, clock):
    usage.add("ann", 1, 5000)
    with pytest.raises(UserBytesError, match=r"the 5\.0 kB that a user may") as met:
        usage.check("ann")
    assert met.value.retryable
    clock.now_s += 62
    usage.check("ann")
