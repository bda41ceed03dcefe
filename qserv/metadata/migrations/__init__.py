"""Alembic's scripts: one file a change of the metadata database, in the order of their numbers."""
