"""Names of many tables at once are those of each."""

import pytest

from schema.physical import chunk_relations, relation


@pytest.mark.parametrize("overlap", [False, True])
def test_names_of_many_chunks_are_those_of_each(overlap):
    chunks = [0, 4, 17, 3_221_225_471]
    names = chunk_relations('da"ta', 'ob"ject', chunks, overlap=overlap)
    assert names == [relation('da"ta', 'ob"ject', chunk, overlap=overlap) for chunk in chunks]
