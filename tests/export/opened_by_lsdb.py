"""Run by a Python that has lsdb: opens a collection and prints, as JSON, what is found in it."""

import json
import sys
import warnings

import hats
import lsdb
from hats.io.skymap import read_skymap
from hats.io.validation import is_valid_collection


def main(directory):
    """Print what LSDB finds in a collection of stars."""
    warnings.simplefilter("ignore")
    catalogue = lsdb.open_catalog(directory)
    margin = catalogue.margin
    found = {
        "valid": is_valid_collection(directory, strict=True),
        "rows": len(catalogue),
        "margin_rows": len(margin.compute()) if margin is not None else 0,
        "skymap_rows": int(read_skymap(catalogue.hc_structure, None).sum()),
        "columns": len(catalogue.columns),
    }
    if found["rows"] > 1000:
        cone = catalogue.cone_search(ra=0.5, dec=0.5, radius_arcsec=3 * 3600)
        pairs = lsdb.crossmatch(catalogue, catalogue, radius_arcsec=300, n_neighbors=100, suffixes=("_a", "_b"))
        found |= {"cone": len(cone.compute()), "pairs": len(pairs.compute())}
    assert len(catalogue.compute()) == found["rows"]
    assert hats.read_hats(directory) is not None
    print(json.dumps(found))  # noqa: T201 (a program's answer)


if __name__ == "__main__":
    main(sys.argv[1])
