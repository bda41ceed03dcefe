from qserv.supervisor.backoff import LONGEST_DELAY_S, STEADY_S, Backoff


def test_delays_double_up_to_a_limit():
    state, delays = Backoff(), []
    for _ in range(12):
        state = state.started(0.0).crashed(1.0)
        delays.append(state.delay_s)
    assert delays[:4] == [0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == LONGEST_DELAY_S


def test_a_process_that_lived_long_is_back_at_once():
    state = Backoff(crashes=9, started_s=100.0)
    assert state.crashed(100.0 + STEADY_S).delay_s == 0.2


def test_thousands_of_crashes_do_not_overflow():
    assert Backoff(crashes=100_000).delay_s == LONGEST_DELAY_S


def test_no_crash_no_delay():
    assert Backoff().delay_s == 0.0
