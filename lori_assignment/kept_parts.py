"""Parts of pages that many see alike, written once for each different one. A leaf.

Each is kept under all that it shows, and under nothing else: whoever's page it is put into, whatever is
new in it makes another. So a page costs the parts that nobody has had yet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from django.template.loader import get_template
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

# Of three thousand letters each.
MOST = 512

_written: OrderedDict[tuple[str, str | None, Hashable], SafeString] = OrderedDict()


def part(name: str, shown: Hashable, facts: dict[str, Any]) -> SafeString:
    """What the template `name` writes of `facts`, in the current language; `shown` is all that it reads of
    them, and it reads nothing else."""
    key = (name, get_language(), shown)
    written = _written.get(key)
    if written is None:
        written = _written[key] = mark_safe(get_template(name).render(facts))  # noqa: S308  # nosec B308 B703  # Escaped there.
        # What was written first goes first, and is written again where it is still wanted.
        while len(_written) > MOST:
            _written.popitem(last=False)
    return written
