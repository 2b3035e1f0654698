"""The tests. A package, so that `from tests.… import …` can never mean somebody else's."""
