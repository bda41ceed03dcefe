"""The ingest service: loads that run on their own, asked for over HTTP."""
