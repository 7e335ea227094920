"""The locks of circulation. A caller who needs several takes them in one order: member, book, copy, rate.

Those of book and copy are in `books.locks`.
"""

from __future__ import annotations

from django.db import connection

from accounts.models import User
from rentals.models import Rate


def lock_member(member: User) -> User:
    """Nothing else changes this member's rentals or ledger until the transaction ends.

    The row is read again. Other members' work is not held up.
    """
    return User.objects.select_for_update(no_key=True).get(pk=member.pk)


def hold_rate(rate: Rate) -> bool:
    """Nobody changes or deletes this rate until the transaction ends; False when it is gone already.

    Any number of rentals may hold one rate at once. Without this a price list could change between
    our look at it and our commit: Django's foreign keys are checked, and so lock, at commit only.
    """
    if connection.vendor != "postgresql":  # SQLite has one writer at a time.
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM rentals_rate WHERE id = %s FOR KEY SHARE", [rate.pk])
        return cursor.fetchone() is not None
