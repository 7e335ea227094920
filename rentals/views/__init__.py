"""Pages for renting, holds, rentals and the member's account."""

from django.http import HttpRequest

from accounts.models import User


class MemberRequest(HttpRequest):
    """A request to a `member_page`, so its user is signed in."""

    user: User
