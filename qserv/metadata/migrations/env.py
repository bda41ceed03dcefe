"""Alembic's environment: runs the migrations over the connection that `qserv.metadata.migrate` opened."""

from alembic import context

from qserv.metadata.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
