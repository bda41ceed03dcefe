"""What every part stands on: settings, errors, cluster membership, metadata database, embedded PostgreSQL nodes."""
