"""`python -m budgetd`: the same as the `budgetd` command."""

import sys

from budgetd.cli.app import main

sys.exit(main())
