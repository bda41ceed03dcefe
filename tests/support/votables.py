"""VOTable documents written by hand."""

import base64

import pyarrow as pa

from ingest.files import open_file

BEGIN = '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
END = "</TABLE></RESOURCE></VOTABLE>"


def read(path, names=None):
    file = open_file(path)
    names = names or file.columns
    found = list(file.batches(names))
    return pa.Table.from_batches(found).to_pydict() if found else {name: [] for name in names}


def cells(fields, *rows):
    """Return a document with these values as TABLEDATA."""
    body = "".join(f"<TR>{''.join(f'<TD>{value}</TD>' for value in row)}</TR>\n" for row in rows)
    return f"{BEGIN}{fields}<DATA><TABLEDATA>{body}</TABLEDATA></DATA>{END}"


def streamed(fields, data, serialisation="BINARY", attributes='encoding="base64"'):
    """Return a document with these bytes in a STREAM."""
    encoded = base64.encodebytes(data).decode()
    return f"{BEGIN}{fields}<DATA><{serialisation}><STREAM {attributes}>{encoded}</STREAM></{serialisation}></DATA>{END}"


def field(name, datatype, size="", inside="", **others):
    given_size = f' arraysize="{size}"' if size else ""
    more = "".join(f' {key}="{value}"' for key, value in others.items())
    return f'<FIELD name="{name}" datatype="{datatype}"{given_size}{more}>{inside}</FIELD>'
