"""Serves a member's due dates to calendar programs, at a secret link.

Anyone with the link sees the due dates, so the secret has 256 bits and can be revoked. A new password revokes
it. It is not stored but computed from the feed's random nonce and SECRET_KEY: the page can show it again for
another device, and a stolen copy of the database opens no feed. A feed is found by the SHA-256 digest of its
secret, so links keep working after SECRET_KEY changes. The page can no longer show them then; members make a
new link instead.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from accounts.models import User
from rentals.models import CalendarFeed, Hold, Rental

if TYPE_CHECKING:
    from icalendar import Event

THE_DAY_BEFORE = timedelta(days=1)  # Subtracted from a local time, so its clock time stays the same.
# How often calendar programs should refresh the feed.
REFRESH = timedelta(hours=6)


def make_feed(*, member: User, at: datetime) -> tuple[CalendarFeed, bool]:
    """Create a feed with a new secret link; return it and whether it is the member's first.

    The member's previous link stops working.
    """
    nonce = secrets.token_urlsafe(32)
    return CalendarFeed.objects.update_or_create(
        user=member, defaults={"nonce": nonce, "digest": _digest(_secret(nonce)), "made_at": at}
    )


def revoke_feed(*, member: User) -> None:
    """Make the member's link stop working, if there is one."""
    CalendarFeed.objects.filter(user=member).delete()


def revoke_with_access(sender: object, user: User, **_: Any) -> None:
    """Receive `access_revoked`: who knew the former password may also know the link."""
    revoke_feed(member=user)


def find_feed(secret: str) -> CalendarFeed | None:
    """Return the feed with this secret; None if there is none or the account is closed."""
    feeds = CalendarFeed.objects.select_related("user")
    return feeds.filter(digest=_digest(secret), user__is_active=True).first()


def secret_of(feed: CalendarFeed) -> str | None:
    """Return the secret in the feed's link; None if SECRET_KEY has changed since the link was made."""
    secret = _secret(feed.nonce)
    return secret if _digest(secret) == feed.digest else None


def _secret(nonce: str) -> str:
    mac = salted_hmac("rentals.calendar_feeds", nonce, algorithm="sha256").digest()
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def render_ical(member: User) -> bytes:
    """Return the due dates of the open rentals and the pick-up deadlines as an iCalendar file (RFC 5545)."""
    # Imported here because the import takes a tenth of a second.
    from icalendar import Calendar

    calendar = Calendar()
    calendar.add("prodid", f"-//{settings.SITE_NAME}//{_site_host()}//EN")
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", settings.SITE_NAME)
    calendar.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT6H")
    for rental in Rental.objects.open().filter(user=member).with_terms().order_by("due_at", "ref"):
        calendar.add_component(_due_date(rental))
    for hold in Hold.objects.ready().filter(user=member).select_related("book").order_by("pick_up_by", "pk"):
        calendar.add_component(_pick_up(hold))
    return calendar.to_ical()


def _due_date(rental: Rental) -> Event:
    renewed_at = [datetime.fromisoformat(at) for at, _due in rental.due_before]
    book, facts = rental.book, {"ref": rental.ref, "address": _my_rentals()}
    return _event(
        # Never changes, so that a renewal moves the event instead of adding one.
        uid=f"rental-{rental.ref}",
        at=rental.due_at,
        changed_at=max([rental.rented_at, *renewed_at]),
        sequence=rental.renewals,
        summary=_("Due back: %(book)s") % {"book": book.name},
        description=_("By %(author)s. Rental no. %(ref)d. To renew: %(address)s")
        % {"author": book.author, **facts}
        if book.author
        else _("Rental no. %(ref)d. To renew: %(address)s") % facts,
        warning=_("Due back tomorrow: %(book)s") % {"book": book.name},
    )


def _pick_up(hold: Hold) -> Event:
    assert hold.ready_at is not None  # noqa: S101  # for the type checker: a constraint guarantees it
    assert hold.pick_up_by is not None  # noqa: S101  # as above
    return _event(
        uid=f"hold-{hold.pk}",
        at=hold.pick_up_by,
        changed_at=hold.ready_at,
        sequence=0,
        summary=_("Last chance to collect: %(book)s") % {"book": hold.book.name},
        description=_("Ready to collect. Rent it or cancel the hold: %(address)s")
        % {"address": _my_rentals()},
        warning=_("Collect by tomorrow: %(book)s") % {"book": hold.book.name},
    )


def _event(
    *,
    uid: str,
    at: datetime,
    changed_at: datetime,
    sequence: int,
    summary: str,
    description: str,
    warning: str,
) -> Event:
    from icalendar import Alarm, Event

    event = Event()
    event.add("uid", f"{uid}@{_site_host()}")
    event.add("dtstamp", changed_at)
    event.add("sequence", sequence)
    event.add("dtstart", at)
    event.add("summary", summary)
    event.add("description", description)
    event.add("url", _my_rentals())
    # Does not mark the member as busy.
    event.add("transp", "TRANSPARENT")
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("trigger", _the_day_before(at) - at)
    alarm.add("description", warning)
    event.add_component(alarm)
    return event


def _the_day_before(at: datetime) -> datetime:
    """Return the same clock time a day earlier, which is 23 to 25 hours earlier when the clocks change."""
    return (timezone.localtime(at) - THE_DAY_BEFORE).astimezone(UTC)


def _my_rentals() -> str:
    return settings.SITE_URL + reverse("my-rentals")


def _site_host() -> str:
    return urlsplit(settings.SITE_URL).hostname or ""
