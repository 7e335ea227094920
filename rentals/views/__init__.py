"""The pages of circulation. `http.member_pages.member_page` opens those that are a member's own."""

from django.http import HttpRequest

from accounts.models import User


class MemberRequest(HttpRequest):
    """A request behind `member_page`."""

    user: User
