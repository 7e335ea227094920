"""Stores messages between two pages."""

from __future__ import annotations

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage


class _HostCookieStorage(CookieStorage):
    cookie_name = f"{settings.HOST_COOKIE_PREFIX}messages"


class MessageStorage(FallbackStorage):
    """Django's FallbackStorage, with a cookie that only this host can set (HOST_COOKIE_PREFIX)."""

    storage_classes = (_HostCookieStorage, SessionStorage)
