"""Closes an account: the personal data goes, the rentals and the ledger stay."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.erasure import erase_personal_data
from accounts.models import User
from lori_assignment.db.transactions import atomic_with_retry, lock
from lori_assignment.errors import Refusal, refuse
from lori_assignment.money import format_money
from rentals import errors, ledger
from rentals.calendar_feeds import revoke_feed
from rentals.holds import cancel_holds_of


@atomic_with_retry
def close_account(*, member: User, at: datetime) -> None:
    """Erase the member's personal data, cancel their holds and revoke their calendar link.

    Rentals and ledger entries stay, under an anonymous account. Raises Refusal with all `closing_blockers`.
    """
    member = lock(member)
    refuse(closing_blockers(member, at=at))
    cancel_holds_of(member=member, at=at)
    revoke_feed(member=member)
    erase_personal_data(member)


def closing_blockers(member: User, *, at: datetime) -> list[Refusal]:
    """Return the reasons why the account cannot be closed yet; empty if it can."""
    if not member.is_active:
        return [errors.MemberInactive()]
    reasons: list[Refusal] = []
    if member.is_staff:
        reasons.append(errors.StaffAccount())
    balance = ledger.balance(member, at=at)
    out = len(balance.open_rentals)
    if out:
        reasons.append(
            errors.BooksOut(
                ngettext(
                    "You still have one book on loan. Return it first.",
                    "You still have %(count)d books on loan. Return them first.",
                    out,
                )
                % {"count": out}
            )
        )
    if balance.total > 0:
        reasons.append(
            errors.MoneyOwed(
                _("You owe %(amount)s. Pay it at the counter first.")
                % {"amount": format_money(balance.total)}
            )
        )
    elif balance.total < 0:
        reasons.append(
            errors.CreditLeft(
                _("You have %(amount)s in credit. Have it paid out at the counter first.")
                % {"amount": format_money(-balance.total)}
            )
        )
    return reasons
