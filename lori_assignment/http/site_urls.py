"""Builds absolute URLs from SITE_URL, whatever the Host header of the request."""

from __future__ import annotations

from urllib.parse import urljoin

from django.conf import settings


def absolute_url(path: str) -> str:
    """Return the absolute URL of a path. A URL that is absolute already, such as a bucket's, is unchanged."""
    return urljoin(settings.SITE_URL, path)
