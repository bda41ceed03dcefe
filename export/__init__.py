"""Rows of the archive -> catalogues in HATS layout (hats.readthedocs.io; IVOA Note HATS), which LSDB opens as they are."""
