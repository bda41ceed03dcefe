"""ADQL 2.1 in, a PostgreSQL syntax tree of sqlglot out.

``tokens -> stream -> values -> conditions -> queries`` follow the grammar of the standard (ADQL 2.1, appendix A), each building
on the one before; `tap.adql.parse` is the door.
"""
