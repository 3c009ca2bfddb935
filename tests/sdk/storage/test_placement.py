"""Placement: hard links bound what one operator can hold; the cheapest usable nodes win; the reasons are shown."""

import random

import pytest
from blackhole.errors import NoFreeNodes
from blackhole.storage.placement import Candidate, group_limit, group_of, network, place
from hypothesis import given
from hypothesis import strategies as st


def candidate(node: int, **fields: object) -> Candidate:
    base: dict[str, object] = {
        "node": node,
        "owner": f"0x{node:040x}",
        "payee": f"0x{node:040x}",
        "signer": f"0x{node + 10_000:040x}",
        "tls": node.to_bytes(32, "big"),
        "host": f"127.{node >> 8}.{node & 255}.1",
        "price": 100,
    }
    return Candidate(**(base | fields))  # type: ignore[arg-type]


def test_cheapest_nodes_are_chosen() -> None:
    nodes = [candidate(i, price=i) for i in range(20, 0, -1)]
    assert sorted(place(nodes, n=10, repair_at=7, seed=b"").nodes) == list(range(1, 11))


def test_equal_prices_are_drawn_by_the_seed() -> None:
    nodes = [candidate(i) for i in range(1, 40)]
    first = place(nodes, n=10, repair_at=7, seed=b"a")
    assert first.nodes == place(list(reversed(nodes)), n=10, repair_at=7, seed=b"a").nodes
    assert set(first.nodes) != set(place(nodes, n=10, repair_at=7, seed=b"b").nodes)


@pytest.mark.parametrize(
    "link",
    [
        {"owner": "0xABCD"},
        {"payee": "0xabcd"},
        {"signer": "0xabcd"},
        {"tls": b"k" * 32},
        {"host": "10.0.0.7"},
    ],
)
def test_every_hard_link_makes_a_group(link: dict[str, object]) -> None:
    nodes = [candidate(i, **link) for i in range(1, 11)]
    with pytest.raises(NoFreeNodes) as raised:
        place(nodes, n=10, repair_at=7, seed=b"")
    assert raised.value.data["usable"] == group_limit(10, 7) == 1


def test_one_account_in_two_roles_is_one_group() -> None:
    assert len(set(group_of([candidate(1, owner="0xaa"), candidate(2, signer="0xAA")]).values())) == 1


def test_links_reach_through_a_third_node() -> None:
    nodes = [candidate(1, owner="0xaa"), candidate(2, owner="0xaa", host="10.0.0.1"), candidate(3, host="10.0.0.9")]
    assert group_of(nodes) == {1: 1, 2: 1, 3: 1}


def test_neighbouring_networks_are_not_linked() -> None:
    assert network("10.0.0.255") != network("10.0.1.0")
    assert network("2001:db8::1") == network("2001:db8:0:5::9")


def test_unusable_nodes_are_left_out_and_named() -> None:
    nodes = [candidate(i, refused="no capacity" if i < 5 else "") for i in range(1, 14)]
    with pytest.raises(NoFreeNodes) as raised:
        place(nodes, n=10, repair_at=7, seed=b"")
    left_out = raised.value.data["left_out"]
    assert isinstance(left_out, dict)
    assert {left_out[str(i)] for i in range(1, 5)} == {"no capacity"}
    assert "4 left out: no capacity." in raised.value.message


def test_a_replacement_keeps_the_bound() -> None:
    nodes = [candidate(i, price=i) for i in range(1, 12)]
    nodes.append(candidate(12, price=12, owner=nodes[0].owner))  # tied to node 1
    nodes.append(candidate(13, price=13))
    placement = place(nodes, n=10, repair_at=7, seed=b"")
    assert placement.replacement(placement.nodes, [5]) == 11
    assert placement.replacement([*placement.nodes[:4], 11, *placement.nodes[5:]], [5, 6]) == 13
    assert placement.replacement([*placement.nodes[1:], 11], [1]) == 12
    with pytest.raises(NoFreeNodes):
        placement.replacement(placement.nodes, [5, 11, 12, 13])


def test_repair_counts_what_is_held() -> None:
    nodes = [candidate(i, price=i) for i in range(1, 13)]
    nodes.append(candidate(13, price=0, owner=nodes[0].owner))
    placement = place(nodes, n=10, repair_at=7, seed=b"", held=range(1, 9))
    assert placement.nodes == (9, 10)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 9)), min_size=10, max_size=60),
    st.sampled_from([(10, 7), (14, 12), (40, 30)]),
)
def test_no_group_ever_holds_more_than_its_share(drawn: list[tuple[int, int, int]], code: tuple[int, int]) -> None:
    n, repair_at = code
    nodes = [
        candidate(i, owner=f"0x{owner}", host=f"10.0.{net}.{i}", price=price)
        for i, (owner, net, price) in enumerate(drawn, 1)
    ]
    random.Random(1).shuffle(nodes)
    try:
        placement = place(nodes, n=n, repair_at=repair_at, seed=b"s")
    except NoFreeNodes:
        return
    assert len(set(placement.nodes)) == n
    share = [placement.groups[node] for node in placement.nodes]
    assert max(share.count(group) for group in set(share)) <= group_limit(n, repair_at)
