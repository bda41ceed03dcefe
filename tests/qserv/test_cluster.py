import json
import stat

import psycopg.conninfo
import pytest

from qserv.cluster import NODE_DATABASE, SECRETS_FILE, Cluster, NodeAddress, PostgresAddress, Role, Secrets
from qserv.errors import ClusterNotRunningError
from qserv.ids import NodeId


def two_nodes(home):
    return Cluster(
        mode="embedded",
        home=home,
        metadata=PostgresAddress("127.0.0.1", 15001),
        nodes=(NodeAddress(NodeId("node-1"), "127.0.0.1", 15002, 15003), NodeAddress(NodeId("node-2"), "127.0.0.1", 15004, 15005)),
        tap_host="0.0.0.0",  # noqa: S104 (its URL is what is tested)
        tap_port=8080,
    )


def test_topology_is_read_as_it_was_saved(tmp_path):
    two_nodes(tmp_path).save()
    assert Cluster.load(tmp_path) == two_nodes(tmp_path)


def test_no_topology_means_no_running_cluster(tmp_path):
    with pytest.raises(ClusterNotRunningError, match="qserv up"):
        Cluster.load(tmp_path)
    with pytest.raises(ClusterNotRunningError):
        Secrets.load(tmp_path)


def test_addresses_for_clients(tmp_path):
    cluster = two_nodes(tmp_path)
    assert cluster.tap_url == "http://127.0.0.1:8080/tap"
    assert cluster.node(NodeId("node-2")).worker_uri == "grpc://127.0.0.1:15005"
    with pytest.raises(KeyError, match="node-1, node-2"):
        cluster.node(NodeId("node-9"))


def test_secrets_are_kept_private_and_stay_the_same(tmp_path):
    secrets = Secrets.load_or_create(tmp_path)
    assert stat.S_IMODE((tmp_path / SECRETS_FILE).stat().st_mode) == 0o600
    assert Secrets.load_or_create(tmp_path) == secrets
    assert len({secrets.cluster, *secrets.passwords.values()}) == len(Role) + 1


def test_a_home_of_before_gets_the_secrets_that_it_lacks(tmp_path):
    secrets = Secrets.load_or_create(tmp_path)
    document = json.loads((tmp_path / SECRETS_FILE).read_text())
    del document["passwords"][Role.PROVENANCE]
    (tmp_path / SECRETS_FILE).write_text(json.dumps(document))
    found = Secrets.load_or_create(tmp_path)
    assert found == Secrets.load(tmp_path)
    assert found.cluster == secrets.cluster
    assert {role for role in Role if found.passwords[role] != secrets.passwords[role]} == {Role.PROVENANCE}


def test_secrets_are_not_shown(tmp_path):
    secrets = Secrets.load_or_create(tmp_path)
    url = two_nodes(tmp_path).metadata.sqlalchemy_url(Role.METADATA, "qserv", secrets)
    for value in [secrets.cluster, *secrets.passwords.values()]:
        assert value.get_secret_value() not in f"{secrets!r} {secrets} {url} {url!r}"


def test_conninfo_survives_any_password(tmp_path):
    secrets = Secrets.load_or_create(tmp_path)
    odd = type(secrets.cluster)("a/b@c:d?e f%20'\"é")
    secrets = Secrets({Role.READER: odd}, secrets.cluster)
    parts = psycopg.conninfo.conninfo_to_dict(two_nodes(tmp_path).metadata.conninfo(Role.READER, NODE_DATABASE, secrets))
    assert parts["password"] == odd.get_secret_value()
    assert (parts["user"], parts["port"], parts["dbname"]) == ("qserv_reader", "15001", "qserv")
