"""The process beside one PostgreSQL node: runs chunk queries and chunk loads, speaks Arrow Flight."""
