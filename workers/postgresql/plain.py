"""Arrow as ADBC's driver for PostgreSQL makes it -> plain Arrow types."""

import pyarrow as pa


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema without extension types.

    ADBC wraps ``numeric`` (as text), ``json`` and ``uuid`` in extension types that readers on the other side may not know: what
    remains is their storage, utf8 for ``json``. ``numeric`` becomes float64, because no answer is of that type.
    Of the metadata only ``POSTGRESQL:type`` is kept.
    """
    return pa.schema([_plain_field(field) for field in schema])


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the types that `plain_schema` left."""
    columns = [
        column.storage.cast(field.type) if isinstance(column, pa.ExtensionArray) else column
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


_TYPE_NAME = b"POSTGRESQL:type"


def _plain_field(field: pa.Field) -> pa.Field:
    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    if isinstance(field.type, pa.OpaqueType) and field.type.type_name == "numeric":
        kind = pa.float64()
    name = (field.metadata or {}).get(_TYPE_NAME)
    return pa.field(field.name, kind, metadata={_TYPE_NAME: name} if name else None)
