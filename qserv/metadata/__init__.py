"""The metadata database: what is where, and what is known of it. Made and changed by Alembic migrations only."""
