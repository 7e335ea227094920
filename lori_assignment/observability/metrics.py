"""Counts and times requests, and serves the figures to Prometheus at `/metrics`."""

from __future__ import annotations

import os
import secrets
import struct
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from lori_assignment.observability.health import alive, ready

Answer = Callable[[HttpRequest], HttpResponseBase]

PATH = "/metrics"
# A client may send any word as its method, and each would start a new series.
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

REQUESTS = Counter("http_requests", "Requests that were answered.", ["method", "route", "status"])
# For a streamed response: until it begins.
SECONDS = Histogram(
    "http_request_duration_seconds",
    "How long answers took.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

# What the series of one new combination of labels take at most, in the file of each kind of metric.
SERIES_BYTES = 16 * 1024
_KINDS = ("counter", "histogram")
_started: set[tuple[str, str, int]] = set()
_starting = threading.Lock()

_shape = lru_cache(maxsize=1024)(simplify_regex)


class MonitoringMiddleware:
    """Answers health checks and /metrics, and counts all other requests.

    Health checks and /metrics are answered for any Host, since they are requested by the pod's address. Other
    requests are counted by the pattern of their route, because a path may be a secret. This middleware comes
    before those that refuse requests, so that refusals are counted.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response
        self.probes: dict[str, Answer] = {"/healthz": alive, "/readyz": ready, PATH: metrics_view}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if probe := self.probes.get(request.path_info.removesuffix("/")):
            return probe(request)
        begun = time.perf_counter()
        response = self.get_response(request)
        took = time.perf_counter() - begun
        method = request.method if request.method in METHODS else "other"
        count_request(method, route_of(request), response.status_code, took)
        return response


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request, unless it would start a series for which there is no room."""
    with _starting:
        is_new = (method, route, status) not in _started
        if is_new and not _reserve():
            return
        requests, times = REQUESTS.labels(method, route, status), SECONDS.labels(method, route)
        _started.add((method, route, status))
    requests.inc()
    times.observe(seconds)


def _reserve() -> bool:
    """Return whether the files that this worker shares its metrics by have room for new series.

    prometheus_client maps the files into memory, and the kernel ends a process (SIGBUS) that writes to a
    mapped page for which the disk has no room. A page that has been written once keeps its room.
    """
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return True
    try:
        for kind in _KINDS:
            _make_room(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]) / f"{kind}_{os.getpid()}.db")
    except OSError:
        return False
    return True


def _make_room(path: Path) -> None:
    """Write zeros after the used part of a file, whose length is its first number. Raises OSError."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        (used,) = struct.unpack("i", file.read(4) or bytes(4))
        file.seek(used)
        try:
            file.write(bytes(SERIES_BYTES))
            file.flush()
        except OSError:
            if not used:
                # `/metrics` could not read a file without a first number.
                path.unlink()
            raise


def route_of(request: HttpRequest) -> str:
    match = request.resolver_match
    if match is not None:
        return _shape(match.route)
    # Not resolved: static files, unknown paths, and requests that were refused earlier.
    return settings.STATIC_URL if request.path_info.startswith(settings.STATIC_URL) else "none"


def metrics_view(request: HttpRequest) -> HttpResponse:
    """Serve the metrics, or a 404 without the token."""
    given = request.META.get("HTTP_AUTHORIZATION", "").encode()
    expected = f"Bearer {settings.METRICS_TOKEN}".encode()
    if not settings.METRICS_TOKEN or not secrets.compare_digest(given, expected):
        response = HttpResponse("Not found\n", content_type="text/plain; charset=utf-8", status=404)
        # Attempts without the token are not worth a warning.
        response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    elif request.method not in ("GET", "HEAD"):
        response = HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
    else:
        response = HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Length"] = str(len(response.content))
    if request.method == "HEAD":
        response.content = b""
    return response


def _registry() -> CollectorRegistry:
    """Return the metrics of all worker processes, or of this process if it is the only one."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return registry
