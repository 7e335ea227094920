"""The JWT pairs that programs and browsers sign in with: give, renew, check, end.

Every token names the family that it descends from, which is a row of the database: what signs out deletes
it, and with it all of its tokens, access tokens too. One look finds the account and the family together,
so that it costs a call nothing more.

Of refresh tokens the family knows the one that is good now. An older one that is used once more was held
by two, of whom one stole it: nobody can tell which, so the family ends.

Whatever is wrong with a token, it is a `TokenError`: expired, forged, of the wrong type, used already,
ended, or of an account that is gone, deactivated or has another password since.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db.models import BigIntegerField, CharField
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token, UntypedToken
from rest_framework_simplejwt.utils import datetime_from_epoch

from accounts.models import TokenFamily, User
from accounts.second_factor import is_missing, nothing_missing
from accounts.security_log import note
from lori_assignment import clock
from lori_assignment.db.compiled_queries import CompiledQuery, Parameter
from lori_assignment.work import unit_of_work

__all__ = [
    "Pair",
    "TokenError",
    "check",
    "end",
    "end_all",
    "end_families",
    "forget_expired",
    "give_tokens",
    "new_family",
    "owner_of",
    "read_access_token",
    "renew",
    "renew_in_browser",
]

USED = _("This token has been used already.")
NO_LONGER_GOOD = _("This token is no longer good: sign in again.")
# The claim that names the family, and that which proves the password under which the token was given.
FAMILY = "family"
PASSWORD_MARK = "password_mark"  # noqa: S105  # The name of a claim.
# The claims that queries and comparisons use. Ours are of this form; with the key anybody could sign others.
CLAIMS = {
    api_settings.USER_ID_CLAIM: re.compile("[0-9]{1,18}"),
    api_settings.JTI_CLAIM: re.compile("[0-9a-f]{32}"),
    FAMILY: re.compile("[0-9a-f]{32}"),
    PASSWORD_MARK: re.compile("[0-9a-f]{32}"),
}
# However often it is renewed, who signed in once gives the password again after that long.
LONGEST = timedelta(days=30)


_Token = TypeVar("_Token", bound=Token)


class Pair(NamedTuple):
    access: str
    refresh: str


def new_family() -> str:
    return secrets.token_hex(16)


def give_tokens(user: User, *, family: str = "") -> Pair:
    """The first pair of a sign-in; `family` is the name of theirs where it has one already."""
    begun = TokenFamily(pk=family or new_family(), user=user, began_at=clock.now())
    pair = _next_pair(begun)
    begun.save(force_insert=True)
    return pair


def renew(refresh: str) -> Pair:
    """A new pair for `refresh`, which stops working: of several at once, one gets it at most.

    Raises TokenError.
    """
    token = _read(RefreshToken, refresh)
    family, pair = _use(token)
    if pair is None:
        note("token_reused", account=family.user_id)
        raise TokenError(USED)
    return pair


@unit_of_work
def _use(token: RefreshToken) -> tuple[TokenFamily, Pair | None]:
    """What `token` is good for; of one that was used before the whole family ends."""
    family = _family_of(token)
    if family.current != token[api_settings.JTI_CLAIM]:
        family.delete()
        return family, None
    pair = _next_pair(family)
    family.left_its_browser = True
    family.save(update_fields=["current", "expires_at", "left_its_browser"])
    return family, pair


@unit_of_work
def renew_in_browser(user: User, *, family: str, refresh: str) -> Pair | None:
    """The next pair for a browser whose session is good; None when the family has ended.

    Whatever became of `refresh`, the token of its cookie: the session speaks for the browser, and several
    of its requests may ask at once. But a used one, where the next was not given to the browser, is the
    mark of a thief, whose tokens end here.
    """
    found = lock_family(user.pk, family)
    if found is None:
        return None
    if found.left_its_browser and _is_used(refresh, found):
        found.delete()
        note("token_reused", account=user.pk)
        return None
    pair = _next_pair(found)
    found.left_its_browser = False
    found.save(update_fields=["current", "expires_at", "left_its_browser"])
    return pair


def check(text: str) -> None:
    """Raises TokenError unless `text` is a token, of either type, that works now."""
    token = _read(UntypedToken, text)
    owner_of(token)
    is_refresh = token.get(api_settings.TOKEN_TYPE_CLAIM) == RefreshToken.token_type
    current = TokenFamily.objects.filter(pk=token.get(FAMILY), current=token[api_settings.JTI_CLAIM])
    if is_refresh and not current.exists():
        raise TokenError(USED)


def end(refresh: str) -> None:
    """Sign out: nothing that descends from the sign-in of `refresh` works any more. Raises TokenError."""
    token = _read(RefreshToken, refresh)
    family = _end(token)
    used = family.current != token[api_settings.JTI_CLAIM]
    note("token_reused" if used else "signed_out", account=family.user_id)
    if used:
        raise TokenError(USED)


@unit_of_work
def _end(token: RefreshToken) -> TokenFamily:
    family = _family_of(token)
    family.delete()
    return family


def end_families(user_id: int, families: Collection[str]) -> None:
    """No token of these `families` works any more."""
    TokenFamily.objects.filter(user_id=user_id, pk__in=families).delete()


def end_all(user: User, *, but: str = "") -> None:
    """No token of `user` works any more, except those of one family."""
    TokenFamily.objects.filter(user=user).exclude(pk=but).delete()


def forget_expired(*, at: datetime) -> int:
    """Delete the families whose last refresh token has run out; how many."""
    deleted, _by_model = TokenFamily.objects.filter(expires_at__lte=at).delete()
    return deleted


@lru_cache(maxsize=1024)
def _access_token(text: bytes, key: str, audience: str) -> AccessToken:
    """One whose signature was good under `key` when it was looked at; what is kept is what it says."""
    return _read(AccessToken, text)


def read_access_token(text: bytes) -> AccessToken:
    """What an access token says, if it is ours and has not expired. Raises TokenError.

    The same bytes are checked once in each process: their signature does not change, and their time is
    looked at anew.
    """
    token = _access_token(text, api_settings.SIGNING_KEY, api_settings.AUDIENCE)
    token.check_exp(current_time=clock.now())
    return token


def owner_of(token: Token) -> User:
    """Whose `token` is, if it has not been ended; in one query. Raises TokenError."""
    find_owner = _owner_query(with_second_factor=settings.STAFF_SECOND_FACTOR)
    owners = find_owner(user=token.get(api_settings.USER_ID_CLAIM), family=token.get(FAMILY))
    if not owners or not _has_its_password(token, owners[0]):
        raise TokenError(NO_LONGER_GOOD)
    return owners[0]


@cache
def _owner_query(*, with_second_factor: bool) -> CompiledQuery[User]:
    """With `with_second_factor` staff without one own no token that works: see `nothing_missing`."""
    return CompiledQuery(
        lambda: User.objects.filter(
            nothing_missing(),
            pk=Parameter("user", BigIntegerField()),
            token_families=Parameter("family", CharField()),
            is_active=True,
        )
    )


def _next_pair(family: TokenFamily) -> Pair:
    """Also makes its refresh token the family's current one; the caller saves."""
    refresh = RefreshToken.for_user(family.user)
    refresh[FAMILY] = family.pk
    refresh[PASSWORD_MARK] = _mark_of(family.user)
    refresh["exp"] = min(refresh["exp"], int((family.began_at + LONGEST).timestamp()))
    family.current = refresh[api_settings.JTI_CLAIM]
    family.expires_at = datetime_from_epoch(refresh["exp"])
    return Pair(access=str(refresh.access_token), refresh=str(refresh))


def _family_of(token: RefreshToken) -> TokenFamily:
    """Locked. Raises TokenError when it has ended, or the account has changed its mind about it."""
    family = lock_family(token.get(api_settings.USER_ID_CLAIM), token.get(FAMILY))
    if family is None or not family.user.is_active or not _has_its_password(token, family.user):
        raise TokenError(NO_LONGER_GOOD)
    if is_missing(family.user):
        raise TokenError(NO_LONGER_GOOD)
    return family


def lock_family(user_id: Any, family: Any) -> TokenFamily | None:
    """Nobody else renews or ends it until the transaction does."""
    locked = TokenFamily.objects.select_related("user").select_for_update(of=("self",))
    return locked.filter(pk=family, user_id=user_id).first()


def _is_used(refresh: str, family: TokenFamily) -> bool:
    """Is it a token of the family that is not the one that is good now?"""
    try:
        token = _read(RefreshToken, refresh)
    except TokenError:
        return False
    return token.get(FAMILY) == family.pk and token[api_settings.JTI_CLAIM] != family.current


def _has_its_password(token: Token, user: User) -> bool:
    return constant_time_compare(str(token.get(PASSWORD_MARK)), _mark_of(user))


def _mark_of(user: User) -> str:
    """Another one for another password; it says nothing of either. simplejwt's own would be by MD5."""
    key = settings.TOKEN_SIGNING_KEY
    return salted_hmac("accounts.tokens", user.password, secret=key, algorithm="sha256").hexdigest()[:32]


def _read(kind: type[_Token], text: str | bytes) -> _Token:
    """Raises TokenError."""
    try:
        token = kind(text)  # type: ignore[arg-type]  # simplejwt annotates the text as a Token
    except (ValueError, OverflowError, OSError):
        # Of a text that is not ASCII, and of a time that is too large for a datetime.
        raise TokenError(_("Token is invalid")) from None
    if not all(pattern.fullmatch(str(token.get(name))) for name, pattern in CLAIMS.items()):
        raise TokenError(_("Token is invalid"))
    return token
