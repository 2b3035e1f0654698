"""Trees of sessions: nobody lost, nothing counted twice, and the dearest shown."""

from __future__ import annotations

import random

import pytest

from budgetd.ledger.histories import Kin
from budgetd.status.branches import Branch, grow, shown


def kin(
    name: str, parent: str | None = None, *, root: str = "r", cost: int = 1, at: int = 0
) -> Kin:
    return Kin(name, root, parent, at, at, 1, cost, 0, 0)


def children(branch: Branch) -> list[str]:
    return [child.id for child in branch.children]


def test_a_tree_with_its_sums() -> None:
    found = grow(
        [
            kin("b", "r", cost=20, at=5),
            kin("a", "r", cost=10, at=3),
            kin("a1", "a", cost=5, at=9),
            kin("r", cost=100),
        ]
    )
    root, a = found["r"], found["a"]
    assert children(root) == ["a", "b"]  # as they began
    assert (root.cost, root.calls, root.agents, root.last) == (135, 4, 3, 9)
    assert (a.cost, a.calls, a.agents, a.last) == (15, 2, 1, 9)
    assert [one.id for one in found["a1"].above()] == ["a", "r"]
    assert sorted(one.id for one in root.below()) == ["a", "a1", "b"]


def test_several_trees_stay_apart() -> None:
    found = grow([kin("r"), kin("a", "r"), kin("s", root="s"), kin("b", "r", root="s")])
    assert children(found["r"]) == ["a"]
    assert children(found["s"]) == ["b"]  # its root decides, not its parent


def test_a_parent_that_is_missing_is_replaced_by_the_root() -> None:
    found = grow([kin("r"), kin("a", "gone", cost=7)])
    assert children(found["r"]) == ["a"]
    assert found["r"].cost == 8


def test_without_its_root_a_tree_is_left_out() -> None:
    assert grow([kin("a", "r")]) == {}


@pytest.mark.parametrize(
    "circle",
    [
        [kin("a", "a")],
        [kin("a", "b"), kin("b", "a")],
        [kin("a", "b"), kin("b", "c"), kin("c", "a"), kin("d", "a")],
    ],
)
def test_a_circle_is_cut(circle: list[Kin]) -> None:
    found = grow([kin("r"), *circle])
    root = found["r"]
    assert len(list(root.below())) == root.agents == len(circle)
    assert root.cost == 1 + len(circle)
    assert len(root.children) == 1


def test_any_tree_counts_everybody_once() -> None:
    luck = random.Random(5)
    members = [kin("r", cost=3)]
    for number in range(300):
        parent = luck.choice(members).id
        members.append(kin(f"n{number}", parent, cost=luck.randint(0, 9), at=luck.randint(0, 50)))
    luck.shuffle(members)
    found = grow(members)
    root = found["r"]
    assert root.cost == sum(one.cost for one in members)
    assert root.agents == 300
    for branch in found.values():
        assert branch.cost == branch.kin.cost + sum(child.cost for child in branch.children)
        assert branch.last >= max([branch.kin.last, *(one.kin.last for one in branch.below())])


def test_a_deep_line_is_no_recursion() -> None:
    members = [kin("r"), *(kin(f"n{i}", f"n{i - 1}" if i else "r") for i in range(5_000))]
    found = grow(members)
    assert found["r"].agents == 5_000
    assert len(list(found["n4999"].above())) == 5_000
    assert len(shown(found["r"], 5_000)) == 5_000


def test_the_dearest_are_shown_with_all_between() -> None:
    found = grow(
        [
            kin("r"),
            kin("cheap", "r", cost=2),
            kin("small", "r", cost=1),
            kin("deep", "small", cost=50),
            kin("dear", "r", cost=9),
        ]
    )
    assert shown(found["r"], 0) == set()
    assert shown(found["r"], 1) == {"small"}  # with what is below it, it is the dearest
    assert shown(found["r"], 2) == {"small", "deep"}
    assert shown(found["r"], 3) == {"small", "deep", "dear"}
    assert shown(found["r"], 99) == {"small", "deep", "dear", "cheap"}
