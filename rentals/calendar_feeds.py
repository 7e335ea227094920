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
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from icalendar import Alarm, Calendar, Event

from accounts.models import User
from rentals.models import CalendarFeed, Rental

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


def due_dates(member: User) -> bytes:
    """The member's open rentals as an iCalendar file (RFC 5545): an event at each due date."""
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
    return calendar.to_ical()


def _due_date(rental: Rental) -> Event:
    event = Event()
    # The same for as long as the rental lives, so that a renewal moves the event and adds none.
    event.add("uid", f"rental-{rental.ref}@{_site_host()}")
    last_changed = datetime.fromisoformat(rental.due_before[-1][0]) if rental.due_before else rental.rented_at
    event.add("dtstamp", last_changed)
    event.add("sequence", rental.renewals)
    event.add("dtstart", rental.due_at)
    event.add("summary", _("Bring back: %(book)s") % {"book": rental.book.name})
    event.add(
        "description",
        _("By %(author)s. Rental no. %(ref)d. Renew it at %(address)s")
        % {"author": rental.book.author, "ref": rental.ref, "address": _my_rentals()}
        if rental.book.author
        else _("Rental no. %(ref)d. Renew it at %(address)s") % {"ref": rental.ref, "address": _my_rentals()},
    )
    event.add("url", _my_rentals())
    # It takes up no time: the member is free then.
    event.add("transp", "TRANSPARENT")
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("trigger", -WARNING_TIME)
    alarm.add("description", _("Due tomorrow: %(book)s") % {"book": rental.book.name})
    event.add_component(alarm)
    return event


def _my_rentals() -> str:
    return settings.SITE_URL + reverse("my-rentals")


def _site_host() -> str:
    return urlsplit(settings.SITE_URL).hostname or ""
