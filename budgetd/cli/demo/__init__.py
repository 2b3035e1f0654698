"""`budgetd demo`: the whole of budgetd in half a minute, on this machine alone.

`stage` starts a provider simulator and a daemon, `agents` spend, `story` is what has happened so
far, `screen` shows it. Everything but the provider and the agents is the real thing.
"""
