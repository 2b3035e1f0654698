"""Plumbing for every test: Hypothesis measures no time, because a busy machine is not a bug."""

from hypothesis import settings

settings.register_profile("budgetd", deadline=None, print_blob=True)
settings.load_profile("budgetd")
