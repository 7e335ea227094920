"""Hashes passwords with Argon2id, through the hashing queue."""

from __future__ import annotations

import unicodedata
from functools import partial

from django.contrib.auth.hashers import Argon2PasswordHasher

from accounts.hashing_queue import hashing_queue


def normalize_password(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


class OwaspArgon2(Argon2PasswordHasher):
    """Argon2id with the parameters that OWASP recommends first: 19 MiB, two passes, one lane.

    Django's default takes 100 MiB and eight lanes. On two cores that allows 8 sign-ins a second and next to
    nothing else; these parameters allow 73 while the catalogue keeps responding. Hashes with other parameters
    or by PBKDF2 are replaced at the next sign-in; until then a wrong password takes as long as the old hash.

    Keyboards write é as one character or as two. Passwords are compared in one spelling, NFKC; a hash from
    before that rule is compared with the password as it was typed, too.

    Raises Busy when the hashing queue is full.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return hashing_queue.hash(partial(super().encode, normalize_password(password), salt))

    def verify(self, password: str, encoded: str) -> bool:
        spellings = dict.fromkeys([normalize_password(password), password])
        verify = super().verify
        return any(hashing_queue.hash(partial(verify, one, encoded)) for one in spellings)
