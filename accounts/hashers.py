"""How passwords are kept."""

from __future__ import annotations

from functools import partial

from django.contrib.auth.hashers import Argon2PasswordHasher

from accounts.hashing_queue import hashing_queue


class OwaspArgon2(Argon2PasswordHasher):
    """Argon2id with the parameters that OWASP recommends first: 19 MiB, two passes, one lane.

    Django's default takes 100 MiB and eight lanes: on two cores 8 sign-ins a second and next to nothing
    else, against 73, beside which the catalogue goes on answering. A hash of other parameters, or of PBKDF2,
    is made anew at the next sign-in; until then a wrong password for it takes the time of its own.

    Raises TooMany where others wait already.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return hashing_queue.hash(partial(super().encode, password, salt))

    def verify(self, password: str, encoded: str) -> bool:
        return hashing_queue.hash(partial(super().verify, password, encoded))
