"""The page of limits names every function."""

import re
from pathlib import Path

from czar.dialects.functions import NAMES, SYNTAX

PAGE = Path(__file__).parents[3] / "docs" / "limits.md"


def test_every_function_is_named():
    assert set(re.findall(r"`(\w+)`", PAGE.read_text())) >= NAMES - SYNTAX
