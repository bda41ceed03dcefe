"""``python tests/nightly.py``: long randomised checks in two pytest processes.

One runs every check, each in its share of the time; the other draws catalogues and queries all the time. Their seeds follow from
one, and each prints its own: with that, ``pytest -m nightly`` finds again what it found.
"""

import argparse
import random
import sys
from pathlib import Path

from tests.support.sessions import run_sessions

TESTS = Path(__file__).parent


def main() -> int:
    """Run the checks, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long, once all clusters are loaded")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if chosen.seed is None else chosen.seed
    options = ["-m", "nightly", "--seconds", str(chosen.seconds), "--timeout", "0", "-s"]
    return run_sessions(
        {
            "every check": [*options, "--seed", str(seed), str(TESTS)],
            "generated queries": [*options, "--seed", str(seed + 1), str(TESTS / "oracle" / "test_generated.py")],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
