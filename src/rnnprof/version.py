"""The version, where also those may read it who stand below the package's public face."""

from __future__ import annotations

VERSION = "0.1.0"
