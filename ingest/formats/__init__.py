"""Formats of files of rows: each a reader that knows a file's columns at once, and yields its rows in bounded batches."""
