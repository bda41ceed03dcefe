"""The database of a night, and the rows of its visits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DATABASE = "night"

KEYS = {"DiaObject": "diaObjectId", "DiaSource": "diaSourceId", "DiaForcedSource": "diaForcedSourceId"}

ROWS = {"DiaObject": 40_000, "DiaSource": 40_000, "DiaForcedSource": 80_000}
"""Of a visit."""

FIELDS = 8
"""In a row along the equator; the next visit is of the next one."""

RADIUS_DEG = 1.75

SCATTER_DEG = 0.1 / 3600
"""Of the position of an object from one visit to the next."""

FLOATS = 24
"""Further columns of each table."""

FRAME = "frame: {system: ICRS, epoch: J2000}"

PARTITION = f"""family: {DATABASE}
overlap_deg: 0.0167
tables:
  DiaObject: {{role: director, ra: ra, dec: dec, director_key: diaObjectId, {FRAME},
    versions: {{start: begins, end: ends, history: DiaObjectHistory}}}}
  DiaSource: {{role: dependent, director: DiaObject, director_key: diaObjectId, ra: ra, dec: dec, {FRAME}}}
  DiaForcedSource: {{role: dependent, director: DiaObject, director_key: diaObjectId, ra: ra, dec: dec, {FRAME}}}
"""


@dataclass(frozen=True)
class Night:
    """Visits of so many rows, by table, whose files are written to a directory."""

    home: Path
    rows: Mapping[str, int]

    @classmethod
    def scaled(cls, home: Path, scale: float) -> "Night":
        """Return visits of full size, or smaller ones, of the same fields and tables; make the directory."""
        home.mkdir()
        return cls(home, {table: max(round(count * scale), 1) for table, count in ROWS.items()})

    def declare(self) -> Path:
        """Write what the database is; return its Felis file."""
        path = self.home / f"{DATABASE}.yaml"
        path.write_text(f'name: {DATABASE}\n"@id": "#{DATABASE}"\ntables:\n' + "".join(map(_declared, KEYS)))
        path.with_suffix(".partition.yaml").write_text(PARTITION)
        return path

    def objects(self, field: int) -> Path:
        """Write the objects of a field, as they are before the first visit."""
        return self.visit(field - FIELDS)["DiaObject"].rename(self.home / f"objects-{field}.parquet")

    def visit(self, number: int) -> dict[str, Path]:
        """Write the rows of a visit; return its files by table, that of the director first."""
        random, field = np.random.default_rng(number % 2**32), number % FIELDS
        objects, sky = self.rows["DiaObject"], np.random.default_rng(field)
        angle, distance = sky.uniform(0, 2 * np.pi, objects), RADIUS_DEG * np.sqrt(sky.random(objects))
        ra = (10 + 3 * field + distance * np.cos(angle) + random.normal(0, SCATTER_DEG, objects)) % 360
        dec = distance * np.sin(angle) + random.normal(0, SCATTER_DEG, objects)
        ids = np.arange(objects) + field * objects
        files = {}
        for table, rows in self.rows.items():
            own = np.arange(rows) % objects
            columns = {"diaObjectId": ids[own], "ra": ra[own], "dec": dec[own]}
            if table == "DiaObject":
                columns |= {"begins": np.full(rows, 60_000.0 + number), "ends": pa.nulls(rows, pa.float64())}
            else:
                columns = {KEYS[table]: np.arange(rows) + number * rows, **columns}
            floats = {f"f{place}": random.normal(size=rows).astype(np.float32) for place in range(FLOATS)}
            files[table] = self.home / f"{table}-{number % 2}.parquet"
            pq.write_table(pa.table({**columns, **floats}), files[table])
        return files


def _declared(table: str) -> str:
    """Return a table in Felis."""
    text = f'- name: {table}\n  "@id": "#{table}"\n  primaryKey: "#{table}.{KEYS[table]}"\n  columns:'

    def column(name: str, words: str) -> str:
        return f'\n  - {{name: {name}, "@id": "#{table}.{name}", datatype: {words}}}'

    if table == "DiaObject":
        text += column("diaObjectId", 'long, nullable: false, "ivoa:ucd": meta.id;meta.main')
        text += column("begins", "double, nullable: false") + column("ends", "double")
    else:
        text += column(KEYS[table], "long, nullable: false") + column("diaObjectId", "long, nullable: false")
    for name in ("ra", "dec"):
        text += column(name, f'double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.{name};meta.main')
    return text + "".join(column(f"f{number}", "float") for number in range(FLOATS)) + "\n"
