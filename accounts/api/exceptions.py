"""Converts the domain's errors about sign-in and tokens into API errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rest_framework import exceptions
from rest_framework.exceptions import AuthenticationFailed

from accounts.sign_in import SignInRefused
from accounts.tokens import TokenError
from lori_assignment.errors import Throttled


@contextmanager
def refusals_as_api_errors() -> Iterator[None]:
    try:
        yield
    except Throttled as refusal:
        raise exceptions.Throttled(wait=refusal.seconds, detail=str(refusal.message)) from refusal
    except SignInRefused as refusal:
        raise AuthenticationFailed(refusal.message, code=refusal.code) from refusal
    except TokenError as error:
        raise AuthenticationFailed(str(error), code="token_not_valid") from error
