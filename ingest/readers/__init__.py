"""Processes that read the files of one table together, each with processor cores of its own."""
