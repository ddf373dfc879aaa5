"""A character model as a package: relative imports, constants in a config module."""
