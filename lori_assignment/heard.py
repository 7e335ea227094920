"""What has come of a request so far. A leaf, for gunicorn's worker."""

from __future__ import annotations

import io
import re
import time
from tempfile import SpooledTemporaryFile

from gunicorn.http.unreader import Unreader

# Of all header fields and the request line together.
LONGEST_HEAD = 64 * 1024
# As much as `admission` lets in; what is longer is refused by its head alone, and not waited for.
MOST_HEARD = 6 * 1024 * 1024
# So much of each is kept in memory, and the rest in a temporary file.
MOST_IN_MEMORY = 64 * 1024
# A request may take so long, and longer by a second for so many bytes of it as have come.
PATIENCE_SECONDS = 20.0
LEAST_BYTES_A_SECOND = 16 * 1024

# What ends a head; only with two CRLF it is one, and the parser says so of any other.
END_OF_HEAD = re.compile(rb"\n\r?\n")
LENGTH = re.compile(rb"\ncontent-length:([^\n]*)", re.IGNORECASE)
IN_CHUNKS = re.compile(rb"\ntransfer-encoding:", re.IGNORECASE)
EXPECTS_A_WORD = re.compile(rb"\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)


class Heard(Unreader):
    """The next request of one connection. The parser reads it from here, and so waits for no client.

    Where it ends is decided here, for this request and for the one after: what the parser leaves of it is
    forgotten, and past its end the parser finds nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._surplus = b""
        self.listen()

    def listen(self) -> None:
        """From now on it is about the next request, of which something may have come with the last one."""
        self.buf = io.BytesIO()
        self.began_at: float | None = None
        self.size = 0
        # The body included; known when the head is there.
        self.wanted: int | None = None
        # Whether nothing of it is missing. A body in chunks is not waited for, since the shop takes none, nor
        # one that is too long: what comes after such a head is not understood, and the connection closed.
        self.is_whole = False
        self.expects_a_word = False
        self._head = bytearray()
        self._all = SpooledTemporaryFile(max_size=MOST_IN_MEMORY)  # noqa: SIM115  # Of no use to anybody later.
        surplus, self._surplus = self._surplus, b""
        if surplus:
            self.add(surplus)

    @property
    def has_surplus(self) -> bool:
        return bool(self._surplus)

    @property
    def is_done(self) -> bool:
        """Whether the parser may begin."""
        return self.wanted is not None and self.size >= self.wanted

    @property
    def is_too_long(self) -> bool:
        return self.wanted is None and self.size > LONGEST_HEAD

    def ends_at(self) -> float:
        """When it has taken too long, as it stands; of one that has not begun, never."""
        if self.began_at is None:
            return float("inf")
        return self.began_at + PATIENCE_SECONDS + self.size / LEAST_BYTES_A_SECOND

    def add(self, data: bytes) -> None:
        if self.began_at is None:
            # An empty line may come before a request.
            data = data.lstrip(b"\r\n")
            if not data:
                return
            self.began_at = time.monotonic()
        if self.wanted is None:
            self._look_for_end_of_head(data)
        if self.wanted is not None:
            missing = self.wanted - self.size
            if self.is_whole:
                self._surplus += data[missing:]
            data = data[:missing]
        self._all.write(data)
        self.size += len(data)
        if self.is_done:
            self._all.seek(0)

    def _look_for_end_of_head(self, data: bytes) -> None:
        seen = max(0, len(self._head) - 2)
        self._head += data
        end = END_OF_HEAD.search(self._head, seen)
        if end is None:
            return
        head = bytes(self._head[: end.end()])
        self._head = bytearray()
        lengths = [length.strip() for length in LENGTH.findall(head)]
        body = 0
        if head.endswith(b"\r\n\r\n") and not IN_CHUNKS.search(head) and len(lengths) <= 1:
            text = lengths[0] if lengths else b"0"
            if re.fullmatch(rb"[0-9]{1,15}", text) and int(text) <= MOST_HEARD:
                self.is_whole, body = True, int(text)
                self.expects_a_word = EXPECTS_A_WORD.search(head) is not None
        self.wanted = len(head) + body

    def chunk(self, size_hint: int | None = None) -> bytes:
        """What the parser asks for next; nothing, at the end."""
        return self._all.read(max(size_hint or 0, 8192))
