"""How the API reads JSON: strictly, and never more than it can stand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MOST_BYTES = 1024 * 1024
MOST_DEPTH = 64


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class StrictJSONParser(BaseParser):
    """JSON in UTF-8, at most MOST_BYTES, at most MOST_DEPTH deep, no key twice, only finite numbers.

    REST framework's own parser takes an object's last of two equal keys, reads 1e400 as infinity and
    ends in a RecursionError on ten thousand brackets.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise TooLarge(_("A body may have at most 1 MiB."))
        try:
            data = json.loads(
                body.decode("utf-8"),
                object_pairs_hook=_unique_keys,
                parse_float=_finite,
                parse_constant=_no_constant,
            )
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None
        except ValueError as error:
            raise ParseError(_("The body is not valid JSON: %(why)s") % {"why": error}) from None
        _refuse_the_unspeakable(data)
        return data


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _refuse_the_unspeakable(data: Any) -> None:
    """Raises ParseError for what is deeper than MOST_DEPTH, or has half of a surrogate pair.

    Python reads the escape of half a pair, and then can neither store nor answer it.
    """
    waiting = [(data, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MOST_DEPTH:
            raise ParseError(_("The JSON is nested too deeply."))
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ParseError(_("A text has half of a surrogate pair.")) from None
