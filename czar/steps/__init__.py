"""Queries that are not chunk-local as a whole: cut into parts that are, whose rows the rest is computed over."""
