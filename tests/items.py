"""Work for the runner, in a module that worker processes can import."""

from __future__ import annotations

from g3d.errors import InputError


def double_but_three(item: int) -> int:
    """Twice the item; 3 is broken."""
    if item == 3:
        raise InputError("three is broken")
    return 2 * item
