"""Columns computed from the file's columns."""

import pickle
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.derive import DERIVATIONS, DerivationError, tycho_key

BIGSKY = Path(__file__).parents[3] / "shared/data/stars/bigsky_mag11.parquet"


def texts(*values):
    return pa.array(values, pa.string())


def test_digits_of_the_key_can_be_read():
    ids = texts("1009-1609-1", "1009-1609-1", "1009-1609-1", "1-13-1", "9537-12121-4")
    keys = tycho_key(ids, texts(None, "A", "AB", "Z", "ZZZ"))
    assert keys.type == pa.int64()
    assert keys.to_pylist() == [
        1009_01609_1_00000,
        1009_01609_1_00001,
        1009_01609_1_00029,
        1_00013_1_00026,
        9537_12121_4_19682,
    ]


def test_no_rows_give_no_keys():
    assert tycho_key(texts(), texts()).to_pylist() == []


@pytest.mark.parametrize("wrong", ["1-2", None, "", "1-2-33", "12345-1-1", "1-123456-1", "1-2-3 ", "1--3", "a-2-3", "1-2-3\n"])
def test_a_wrong_identifier_is_named_with_its_row(wrong):
    with pytest.raises(DerivationError, match=r"row 1 of the batch: tyc_id .*" + re.escape(repr(wrong))) as caught:
        tycho_key(texts("1-2-3", wrong), texts(None, None))
    assert caught.value.row == 1


@pytest.mark.parametrize("wrong", ["a", "ABCD", "É", "A B", "1"])
def test_a_wrong_component_code_is_named_with_its_row(wrong):
    with pytest.raises(DerivationError, match=f"row 2 of the batch: ccdm .*'{wrong}'"):
        tycho_key(texts("1-2-3", "1-2-3", "1-2-3"), texts(None, "ABC", wrong))


@pytest.mark.skipif(not BIGSKY.exists(), reason="shared/data is not beside the repository")
def test_keys_of_the_whole_catalogue_are_unique_and_the_same_in_any_slice():
    stars = pq.read_table(BIGSKY, columns=["tyc_id", "ccdm"]).combine_chunks()
    keys = DERIVATIONS["tycho_key"](stars["tyc_id"].chunk(0), stars["ccdm"].chunk(0)).to_numpy()
    assert len(np.unique(keys)) == len(keys) == 981_852
    assert keys.max() < 2**53
    part = stars.slice(500_000, 1_000).take(pa.array(np.arange(1_000)[::-1])).combine_chunks()
    assert (tycho_key(part["tyc_id"].chunk(0), part["ccdm"].chunk(0)).to_numpy() == keys[500_000:501_000][::-1]).all()


def test_functions_reach_other_processes():
    assert pickle.loads(pickle.dumps(DERIVATIONS)) == DERIVATIONS  # noqa: S301 (made here)
