"""`python -m budgetd`: the same as the `budgetd` command."""

from budgetd.cli.app import main

main()
