"""The pages of circulation. What is a member's own opens by `lori_assignment.pages.member_page`."""

from django.http import HttpRequest

from accounts.models import User


class MemberRequest(HttpRequest):
    """A request behind `member_page`."""

    user: User
