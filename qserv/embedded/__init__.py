"""PostgreSQL servers that the project starts itself, on this machine, without root and without an installation."""
