"""Chunk data in PostgreSQL: reads through ADBC, loads through binary COPY, tables, errors. Used by ``workers.execute`` alone."""
