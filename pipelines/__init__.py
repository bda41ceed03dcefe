"""Pipelines that write catalogues through the ingest client."""
