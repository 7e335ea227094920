"""Summarizes an open rental: what it costs, when it is due, and whether it can be renewed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from lori_assignment import clock
from lori_assignment.errors import Refusal
from rentals.models import Policy, Rental
from rentals.pricing import Price
from rentals.services import renewal_refusals

TOMORROW = timedelta(days=1)  # Added to a date.
# From this many days ahead, the weekday alone would be ambiguous.
A_WEEK = 7


@dataclass(frozen=True, slots=True)
class OpenRentalSummary:
    """An open rental at one moment. `tomorrow` is its price if it comes back by the end of the next day.

    `tomorrow` is None if the rental is due on that day, and `at_due` if it is overdue.
    """

    rental: Rental
    is_overdue: bool
    due: str
    now: Price
    tomorrow: Price | None
    at_due: Price | None
    renewals_left: int
    renewal_obstacles: tuple[Refusal, ...]


def summarize(
    rental: Rental, *, at: datetime, policy: Policy, others_wait: bool = False
) -> OpenRentalSummary:
    """Summarize an open rental at `at`, with its price then, by the end of the next day and at the due date.

    The day ends at midnight in the current time zone.
    """
    is_overdue = rental.is_overdue(at)
    tomorrow, rental_due = timezone.localdate(at) + TOMORROW, timezone.localdate(rental.due_at)
    return OpenRentalSummary(
        rental=rental,
        is_overdue=is_overdue,
        due=due_in_words(rental.due_at, now=at),
        now=rental.running_price(at),
        tomorrow=None if rental_due == tomorrow else rental.running_price(clock.end_of_day(tomorrow)),
        at_due=None if is_overdue else rental.running_price(rental.due_at),
        renewals_left=max(0, policy.max_renewals - rental.renewals),
        renewal_obstacles=tuple(renewal_refusals(rental, policy=policy, others_wait=others_wait)),
    )


def due_in_words(due_at: datetime, *, now: datetime) -> str:
    """Return a text such as "due Friday, in 3 days", in calendar days of the current time zone."""
    due = timezone.localtime(due_at)
    days = (due.date() - timezone.localdate(now)).days
    clock = date_format(due, "TIME_FORMAT")
    if due_at < now and days == 0:
        return _("overdue since %(time)s today") % {"time": clock}
    if days < 0:
        return ngettext("%(days)d day overdue", "%(days)d days overdue", -days) % {"days": -days}
    if days == 0:
        return _("due today at %(time)s") % {"time": clock}
    if days == 1:
        return _("due tomorrow at %(time)s") % {"time": clock}
    if days < A_WEEK:
        return ngettext("due %(weekday)s, in %(days)d day", "due %(weekday)s, in %(days)d days", days) % {
            "weekday": date_format(due, "l"),
            "days": days,
        }
    return ngettext("due %(date)s, in %(days)d day", "due %(date)s, in %(days)d days", days) % {
        "date": date_format(due, "MONTH_DAY_FORMAT"),
        "days": days,
    }
