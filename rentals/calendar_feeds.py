"""Calendar feeds: a member's due dates for a phone's or computer's own calendar, at a secret link.

Whoever has the link sees the due dates, so the secret has 256 bits and can be withdrawn. It is not
kept: it is computed from a random nonce of the feed and the shop's SECRET_KEY, so the page can show
it as often as the member sets up a device, and a stolen copy of the database opens no feed. A feed is
found by the SHA-256 digest of the secret, so links outlive a change of SECRET_KEY; only then they can
be shown no more, and a new one is made.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from accounts.models import User
from rentals.models import CalendarFeed, Hold, Rental

if TYPE_CHECKING:
    from icalendar import Event

WARNING_TIME = timedelta(days=1)
# How often a calendar program is asked to look again.
REFRESH = timedelta(hours=6)


def make_feed(*, member: User, at: datetime) -> CalendarFeed:
    """A feed at a new secret link. A link that was there before leads nowhere from now on."""
    nonce = secrets.token_urlsafe(32)
    feed, _made = CalendarFeed.objects.update_or_create(
        user=member, defaults={"nonce": nonce, "digest": _digest(_secret(nonce)), "made_at": at}
    )
    return feed


def revoke_feed(*, member: User) -> None:
    """The member's link, where there is one, leads nowhere from now on."""
    CalendarFeed.objects.filter(user=member).delete()


def find_feed(secret: str) -> CalendarFeed | None:
    """The feed at this link; None where there is none (any more), and for an account that is closed."""
    feeds = CalendarFeed.objects.select_related("user")
    return feeds.filter(digest=_digest(secret), user__is_active=True).first()


def secret_of(feed: CalendarFeed) -> str | None:
    """The secret in the feed's link; None when SECRET_KEY has changed since it was made."""
    secret = _secret(feed.nonce)
    return secret if _digest(secret) == feed.digest else None


def _secret(nonce: str) -> str:
    mac = salted_hmac("rentals.calendar_feeds", nonce, algorithm="sha256").digest()
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def render_ical(member: User) -> bytes:
    """What the member has to be at the shop for, as an iCalendar file (RFC 5545).

    An event at the due date of each open rental, and at the pick-up deadline of each copy put aside.
    """
    # Imported when a feed is asked for: it takes a tenth of a second.
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
        # The same for as long as the rental lives, so that a renewal moves the event and adds none.
        uid=f"rental-{rental.ref}",
        at=rental.due_at,
        changed_at=max([rental.rented_at, *renewed_at]),
        sequence=rental.renewals,
        summary=_("Bring back: %(book)s") % {"book": book.name},
        description=_("By %(author)s. Rental no. %(ref)d. Renew it at %(address)s")
        % {"author": book.author, **facts}
        if book.author
        else _("Rental no. %(ref)d. Renew it at %(address)s") % facts,
        warning=_("Due tomorrow: %(book)s") % {"book": book.name},
    )


def _pick_up(hold: Hold) -> Event:
    assert hold.ready_at is not None  # noqa: S101  # for the type checker: a constraint says so
    assert hold.pick_up_by is not None  # noqa: S101  # as above
    return _event(
        uid=f"hold-{hold.pk}",
        at=hold.pick_up_by,
        changed_at=hold.ready_at,
        sequence=0,
        summary=_("Pick up by now: %(book)s") % {"book": hold.book.name},
        description=_("It lies ready for you. Rent it, or let it go, at %(address)s")
        % {"address": _my_rentals()},
        warning=_("To be picked up by tomorrow: %(book)s") % {"book": hold.book.name},
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
    # It takes up no time: the member is free then.
    event.add("transp", "TRANSPARENT")
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("trigger", -WARNING_TIME)
    alarm.add("description", warning)
    event.add_component(alarm)
    return event


def _my_rentals() -> str:
    return settings.SITE_URL + reverse("my-rentals")


def _site_host() -> str:
    return urlsplit(settings.SITE_URL).hostname or ""
