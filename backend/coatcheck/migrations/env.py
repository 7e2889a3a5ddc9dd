"""Alembic's entry: runs on the connection that coatcheck.migrate hands over."""

from alembic import context

from coatcheck.tables import SQLModel

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
context.run_migrations()
