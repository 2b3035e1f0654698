"""What was asked: a YAML file, checked and made into the core's frozen rules.

Start at `load.load`. `settings` is what can be written, `build` what becomes of it; a fault is a
`problems.ConfigError`. Nothing is imported here, so that one part can be used without the others.
"""
