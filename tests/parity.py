"""Run parity cases: `python tests/parity.py PATH...`. See tests/parity/runner.py."""

from __future__ import annotations

import sys

from parity.runner import main

if __name__ == "__main__":
    sys.exit(main())
