"""``document``: writes a VOTable."""

import pytest


@pytest.fixture
def document(tmp_path):
    def write(content, name="rows.vot"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
