"""Whole addresses, which lead to SITE_URL whatever Host a request named. A leaf: imports Django only."""

from __future__ import annotations

from urllib.parse import urljoin

from django.conf import settings


def absolute_url(path: str) -> str:
    """The whole address of a path of the shop; one that is whole already, such as a bucket's, stays."""
    return urljoin(settings.SITE_URL, path)
