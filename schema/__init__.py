"""Tables, columns and roles of a database; Felis YAML <-> PostgreSQL <-> Arrow <-> VOTable <-> TAP_SCHEMA."""
