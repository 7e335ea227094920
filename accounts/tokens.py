"""The JWT pairs that programs and browsers sign in with: give, renew, check, end.

Whatever is wrong with a token, it is a `TokenError`: expired, forged, of the wrong type, used already,
or of an account that is gone, deactivated or has another password since.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, TypeVar

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken, Token, UntypedToken
from rest_framework_simplejwt.utils import datetime_from_epoch, get_md5_hash_password

from accounts.models import User

__all__ = ["Pair", "TokenError", "check", "end", "end_families", "give_tokens", "renew"]

USED = _("This token has been used already.")
NO_LONGER_GOOD = _("This token is no longer good: sign in again.")
# The claim that says which browser session a refresh token and its successors were given to.
FAMILY = "family"


_Token = TypeVar("_Token", bound=Token)


class Pair(NamedTuple):
    access: str
    refresh: str


def give_tokens(user: User, *, family: str = "") -> Pair:
    """A pair for `user`; one that is given a `family` can be ended by it, whoever holds the token."""
    refresh = RefreshToken.for_user(user)
    if family:
        refresh[FAMILY] = family
        # The row was written before the claim was set.
        OutstandingToken.objects.filter(jti=refresh[api_settings.JTI_CLAIM]).update(token=str(refresh))
    return Pair(access=str(refresh.access_token), refresh=str(refresh))


def renew(refresh: str, *, owner: User | None = None) -> Pair:
    """A new pair for `refresh`, which stops working: of several at once, one gets it.

    Raises TokenError, also when the token is not `owner`'s where one is named.
    """
    token = _read(RefreshToken, refresh)
    with transaction.atomic():
        found = _owner(token)
        if owner is not None and found != owner:
            raise TokenError(NO_LONGER_GOOD)
        _use_up(token)
        return give_tokens(found, family=token.get(FAMILY, ""))


def check(text: str) -> None:
    """Raises TokenError unless `text` is a token, of either type, that works now."""
    token = _read(UntypedToken, text)
    _owner(token)
    if BlacklistedToken.objects.filter(token__jti=token[api_settings.JTI_CLAIM]).exists():
        raise TokenError(USED)


def end(refresh: str) -> None:
    """Sign out: `refresh` stops working. Raises TokenError."""
    token = _read(RefreshToken, refresh)
    with transaction.atomic():
        _use_up(token)


def end_families(user_id: int, families: Collection[str]) -> None:
    """Every refresh token of these `families` stops working."""
    given = OutstandingToken.objects.filter(
        user_id=user_id, expires_at__gt=timezone.now(), blacklistedtoken=None
    ).only("id", "token")
    ended = [BlacklistedToken(token=one) for one in given if _family_of(one.token) in families]
    # Another request may be ending the same ones.
    BlacklistedToken.objects.bulk_create(ended, ignore_conflicts=True)


def _family_of(refresh: str) -> str:
    token = RefreshToken(refresh, verify=False)  # type: ignore[arg-type]  # as in _read
    return token.get(FAMILY, "")


def _read(kind: type[_Token], text: str) -> _Token:
    try:
        return kind(text)  # type: ignore[arg-type]  # simplejwt annotates the text as a Token
    except UnicodeError:
        raise TokenError(_("Token is invalid")) from None


def _owner(token: Token) -> User:
    user = User.objects.filter(pk=token.get(api_settings.USER_ID_CLAIM), is_active=True).first()
    if user is None or token.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
        raise TokenError(NO_LONGER_GOOD)
    return user


def _use_up(token: RefreshToken) -> None:
    """Raises TokenError when another has used it: the unique constraint decides, not a look before."""
    given, _made = OutstandingToken.objects.get_or_create(
        jti=token[api_settings.JTI_CLAIM],
        defaults={"token": str(token), "expires_at": datetime_from_epoch(token["exp"])},
    )
    try:
        with transaction.atomic():
            BlacklistedToken.objects.create(token=given)
    except IntegrityError:
        raise TokenError(USED) from None
