"""The version, in a module of its own so that the package's modules can import it."""

from __future__ import annotations

VERSION = "0.1.0"
