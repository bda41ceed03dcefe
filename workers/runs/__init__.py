"""Runs: sorted rows that wait beside a node in files, and become its tables when all of them are there."""
