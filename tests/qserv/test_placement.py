from collections import Counter

import pytest

from qserv.errors import ClusterError
from qserv.placement import place_chunk, place_chunks

CHUNKS = range(4 * 4**5, 4 * 4**5 + 12_288)
WEIGHTS = {f"node-{number}": 1.0 for number in range(1, 7)}


def first(placed):
    return {chunk: nodes[0] for chunk, nodes in placed.items()}


def test_equal_nodes_get_equal_shares():
    counts = Counter(first(place_chunks("sky", CHUNKS, WEIGHTS)).values())
    assert set(counts) == set(WEIGHTS)
    # Binomial, mean 2048, sigma 41: five sigma.
    assert all(abs(count - 2048) < 205 for count in counts.values())


def test_a_node_of_double_weight_gets_a_double_share():
    counts = Counter(first(place_chunks("sky", CHUNKS, WEIGHTS | {"node-1": 2.0})).values())
    assert counts["node-1"] == pytest.approx(12_288 * 2 / 7, rel=0.06)
    assert counts["node-2"] == pytest.approx(12_288 / 7, rel=0.1)


def test_a_new_node_takes_its_share_and_moves_nothing_else():
    before = place_chunks("sky", CHUNKS, WEIGHTS, replicas=2)
    after = place_chunks("sky", CHUNKS, WEIGHTS | {"node-7": 1.0}, replicas=2)
    changed = [chunk for chunk in CHUNKS if before[chunk] != after[chunk]]
    assert all("node-7" in after[chunk] and set(after[chunk]) - {"node-7"} <= set(before[chunk]) for chunk in changed)
    assert len(changed) == pytest.approx(12_288 * 2 / 7, rel=0.06)


def test_a_lost_node_moves_only_what_it_held():
    before = place_chunks("sky", CHUNKS, WEIGHTS, replicas=2)
    after = place_chunks("sky", CHUNKS, {name: 1.0 for name in WEIGHTS if name != "node-3"}, replicas=2)
    for chunk in CHUNKS:
        kept = [node for node in before[chunk] if node != "node-3"]
        assert list(after[chunk][: len(kept)]) == kept


def test_replicas_are_on_different_nodes():
    assert all(len(set(nodes)) == 3 for nodes in place_chunks("sky", CHUNKS, WEIGHTS, replicas=3).values())


def test_placement_is_the_same_in_every_process_and_version():
    # A change of these answers would move every chunk of every existing cluster.
    assert [place_chunk("sky", chunk, WEIGHTS)[0] for chunk in (0, 4, 1024, 70_000)] == ["node-3", "node-1", "node-6", "node-1"]


def test_families_are_placed_apart():
    assert first(place_chunks("sky", CHUNKS, WEIGHTS)) != first(place_chunks("deep", CHUNKS, WEIGHTS))


@pytest.mark.parametrize("replicas", [0, 7])
def test_as_many_nodes_as_replicas_are_needed(replicas):
    with pytest.raises(ClusterError, match="there are 6"):
        place_chunk("sky", 4, WEIGHTS, replicas)
