"""Tables of a catalogue are described once for it, and forgotten with it."""

import gc
import weakref
from dataclasses import replace

from czar.analyse.kept_relations import table_relation


def described(catalogue, alias="h"):
    entry = catalogue.find(None, "hipparcos", quoted=False)
    return table_relation(catalogue, entry, alias, alias, entry.database)


def test_queries_of_a_catalogue_share_a_table_under_its_alias(catalogue):
    assert described(catalogue) is described(catalogue)
    assert described(catalogue, "other")[1].alias == "other"


def test_another_version_has_tables_of_its_own(catalogue):
    entries = tuple(replace(entry) for entry in catalogue.entries)
    following = replace(catalogue, version=catalogue.version + 1, entries=entries)

    assert described(following)[0].entry is not described(catalogue)[0].entry


def test_tables_are_forgotten_with_their_catalogue(catalogue):
    following = replace(catalogue, entries=tuple(replace(entry) for entry in catalogue.entries))
    source = weakref.ref(described(following)[0])

    del following
    gc.collect()

    assert source() is None
