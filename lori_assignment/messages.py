"""Where what a page has to say waits for the next one."""

from __future__ import annotations

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage


class _HostCookieStorage(CookieStorage):
    cookie_name = f"{settings.HOST_COOKIE_PREFIX}messages"


class MessageStorage(FallbackStorage):
    """In a cookie, as Django does it, but one that is this host's."""

    storage_classes = (_HostCookieStorage, SessionStorage)
