"""budgetd: a local daemon that keeps AI agents inside a dollar budget."""

__version__ = "0.1.0"
