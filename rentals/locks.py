"""The lock on a member's rentals and money: always the first, before those of `books.locks`."""

from __future__ import annotations

from accounts.models import User


def lock_member(member: User) -> User:
    """Nothing else changes this member's rentals or ledger until the transaction ends.

    The answer is read anew. Other members' work is not held up.
    """
    return User.objects.select_for_update(no_key=True).get(pk=member.pk)
