"""Hashes passwords with Argon2id, through the hashing queue."""

from __future__ import annotations

from functools import partial

from django.contrib.auth.hashers import Argon2PasswordHasher, PBKDF2PasswordHasher

from accounts.hashing_queue import hashing_queue
from accounts.password_rules import normalize_password


def spellings(password: str) -> list[str]:
    """Return the spellings to compare with a hash, one or two.

    Keyboards write é as one character or as two, so the first is NFKC. A hash from before that rule, or from
    another system, may be of the password as it was typed.
    """
    return list(dict.fromkeys([normalize_password(password), password]))


class OwaspArgon2(Argon2PasswordHasher):
    """Argon2id with the parameters that OWASP recommends first: 19 MiB, two passes, one lane.

    Django's default takes 100 MiB and eight lanes. On two cores that allows 8 sign-ins a second and next to
    nothing else; these parameters allow 73 while the catalogue keeps responding. Hashes with other parameters
    or by PBKDF2 are replaced at the next sign-in; until then a wrong password takes as long as the old hash.

    Raises Busy when the hashing queue is full.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return hashing_queue.hash(partial(super().encode, normalize_password(password), salt))

    def verify(self, password: str, encoded: str) -> bool:
        verify = super().verify
        return any(hashing_queue.hash(partial(verify, one, encoded)) for one in spellings(password))


class ImportedPBKDF2(PBKDF2PasswordHasher):
    """Verifies the hashes of imported accounts."""

    def verify(self, password: str, encoded: str) -> bool:
        return any(super(ImportedPBKDF2, self).verify(one, encoded) for one in spellings(password))
