"""What a person types: starts the daemon, talks to the running one over HTTP, and shows it.

A quick command must not pay for what the daemon needs: `app` declares the commands, and each
imports what it uses when it runs.
"""
