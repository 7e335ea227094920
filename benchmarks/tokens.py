"""Prints tokens for members of the shop in DATABASE_URL as a JSON object, without needing passwords.

python -m benchmarks.tokens 1 2 4000-7999
"""

from __future__ import annotations

import json
import os
import sys

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")
    django.setup()

from django.db import transaction

from accounts.models import User
from accounts.tokens import issue_tokens


def main(asked: list[str]) -> None:
    users = {user.pk: user for user in User.objects.in_bulk(_numbers(asked)).values()}
    with transaction.atomic():
        given = {user: issue_tokens(users[user]).access for user in _numbers(asked)}
    json.dump(given, sys.stdout)


def _numbers(asked: list[str]) -> list[int]:
    found: list[int] = []
    for text in asked:
        first, _, last = text.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
