"""The file of measured costs, from which `projection` computes: each part says when and how it was measured."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from report import load_of_machine


def write_costs(path: Path, part: str, measured: dict[str, Any]) -> None:
    """Write a part of the file in place of the one that was there."""
    costs = json.loads(path.read_text()) if path.exists() else {}
    program = Path(sys.argv[0]).resolve()
    options = [word for word in sys.argv[1:] if word not in {"--costs", str(path)}]
    words = [str(program.relative_to(Path(__file__).resolve().parents[3])), *options]
    how = {"when": f"{datetime.now(UTC):%Y-%m-%d}", "how": " ".join(words), "machine": load_of_machine()}
    path.write_text(json.dumps(costs | {part: {**how, **measured}}, indent=1, sort_keys=True) + "\n")
