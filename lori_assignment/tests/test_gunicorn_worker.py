"""Whom a worker lets in when it is told to stop, and for whom it does not wait; `.ci/start-check` sees the
whole of it under load."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from unittest import TestCase
from unittest.mock import patch

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.sock import TCPSocket
from gunicorn.util import load_class
from gunicorn.workers.gthread import TConn

from lori_assignment import admission, gunicorn_conf, gunicorn_worker, heard
from lori_assignment.gunicorn_worker import Worker
from lori_assignment.heard import Heard

REQUEST = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


class Doorkeeper(Worker):
    """Lets in, and answers nobody."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.guests: list[TConn] = []

    def _answer(self, conn: TConn) -> None:
        self.guests.append(conn)


class WorkerCase(TestCase):
    def setUp(self) -> None:
        configuration = Config()
        log = Logger(configuration)
        door = TCPSocket(("127.0.0.1", 0), configuration, log)
        self.addCleanup(door.close)
        self.address = door.getsockname()
        self.worker = Doorkeeper(1, 1, [door], None, 30, configuration, log)
        self.addCleanup(self.worker.tmp.close)
        self.worker.poller = selectors.DefaultSelector()
        self.addCleanup(self.worker.poller.close)
        self.worker.set_accept_enabled(True)

    def knock(self) -> socket.socket:
        client = socket.create_connection(self.address, timeout=5)
        self.addCleanup(client.close)
        return client

    def round(self) -> None:
        self.worker.wait_for_and_dispatch_events(timeout=0.1)
        self.worker.looked_at = 0.0
        self.worker.murder_pending()

    def round_until(self, done: Callable[[], object]) -> None:
        for _ in range(50):
            if done():
                return
            self.round()
        self.fail("It did not come to that.")


class SharingTest(WorkerCase):
    """Who has been let in stays with that worker for as long as the connection is kept."""

    def asides(self) -> list[float]:
        asides: list[float] = []
        patcher = patch.object(gunicorn_worker.time, "sleep", asides.append)
        patcher.start()
        self.addCleanup(patcher.stop)
        return asides

    def test_after_each_that_it_has_let_in_it_steps_aside_for_another_worker(self) -> None:
        asides = self.asides()
        for _ in range(3):
            self.knock()
        for let_in in (1, 2, 3):
            self.round()
            self.assertEqual((self.worker.nr_conns, len(asides)), (let_in, let_in))
        self.assertTrue(all(0 < seconds < 0.001 for seconds in asides), asides)

    def test_it_does_not_where_another_has_let_in_who_came(self) -> None:
        asides = self.asides()
        self.worker.accept(self.worker.sockets[0])
        self.assertEqual(asides, [])

    def test_it_does_not_while_it_stops(self) -> None:
        asides = self.asides()
        self.knock()
        self.worker.alive = False
        self.worker.set_accept_enabled(False)
        self.assertEqual((self.worker.nr_conns, asides), (1, []))


class StoppingTest(WorkerCase):
    def was_the_last_answer(self) -> socket.socket:
        """A client whose connection is to be closed now, and who has not closed it yet."""
        client = self.knock()
        client.sendall(REQUEST)
        self.round_until(lambda: client.getsockname() in [guest.client for guest in self.worker.guests])
        done: Future[bool] = Future()
        done.set_result(False)
        began = time.monotonic()
        self.worker.finish_request(self.worker.guests[-1], done)
        self.assertLess(time.monotonic() - began, 1, "It waited for the client.")
        self.assertEqual(client.recv(1), b"")
        return client

    def test_it_is_the_one_that_serves(self) -> None:
        self.assertIs(load_class(gunicorn_conf.worker_class), Worker)

    def test_told_to_stop_it_lets_in_all_who_wait_and_closes_the_door(self) -> None:
        for _ in range(3):
            self.knock()
        self.worker.alive = False
        self.worker.set_accept_enabled(False)
        self.assertEqual(self.worker.nr_conns, 3)
        with self.assertRaises(ConnectionRefusedError):
            self.knock()

    def test_one_that_is_full_lets_nobody_in_and_keeps_the_door(self) -> None:
        self.knock()
        self.worker.set_accept_enabled(False)
        self.assertEqual(self.worker.nr_conns, 0)
        self.knock()
        self.worker.set_accept_enabled(True)

    def test_it_waits_for_clients_that_do_not_close_all_at_the_same_time(self) -> None:
        with patch.object(gunicorn_worker, "LINGER_SECONDS", 0.5):
            for _ in range(5):
                self.was_the_last_answer()
            self.assertEqual(self.worker.nr_conns, 5)
            time.sleep(0.5)
            self.round()
        self.assertEqual((self.worker.nr_conns, len(self.worker.lingering)), (0, 0))

    def test_one_that_has_closed_is_forgotten_at_once_and_one_that_still_sends_is_not_reset(self) -> None:
        client = self.was_the_last_answer()
        client.sendall(b"GET /late HTTP/1.1")
        self.round()
        self.assertEqual(self.worker.nr_conns, 1)
        client.close()
        self.round()
        self.assertEqual(self.worker.nr_conns, 0)

    def test_one_that_is_gone_already_is_counted_once(self) -> None:
        self.knock().sendall(REQUEST)
        self.round_until(lambda: self.worker.guests)
        self.worker.guests[0].sock.close()
        done: Future[bool] = Future()
        done.set_result(False)
        self.worker.finish_request(self.worker.guests[0], done)
        self.assertEqual(self.worker.nr_conns, 0)


class ListeningTest(WorkerCase):
    """Nobody else waits for who is slow in sending."""

    def served(self) -> list[bytes]:
        """The first lines of the requests that a thread would answer, in order."""
        return [next(iter(guest.parser)).uri.encode() for guest in self.worker.guests]

    def test_half_a_request_takes_no_thread_and_a_whole_one_does_at_once(self) -> None:
        slow = [self.knock() for _ in range(20)]
        for client in slow[:10]:
            client.sendall(REQUEST[:-2])
        for client in slow[10:]:
            client.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\nhalf")
        self.round_until(lambda: sum(conn.heard.size > 0 for conn in self.worker.listening) == 20)
        self.assertEqual(self.worker.guests, [])
        self.knock().sendall(REQUEST.replace(b"/", b"/quick", 1))
        self.round_until(lambda: self.worker.guests)
        slow[0].sendall(REQUEST[-2:])
        self.round_until(lambda: len(self.worker.guests) == 2)
        slow[10].sendall(b" done")
        self.round_until(lambda: len(self.worker.guests) == 3)
        self.assertEqual(self.served(), [b"/quick", b"/", b"/"])

    def test_the_twin_that_listens_to_nobody_gives_half_a_request_to_a_thread(self) -> None:
        with patch.object(Worker, "enqueue_req", Doorkeeper._answer):
            self.knock().sendall(REQUEST[:-2])
            self.round_until(lambda: self.worker.guests)

    def answer(self, client: socket.socket) -> bytes:
        answer = b""
        client.settimeout(0.05)
        for _ in range(50):
            self.round()
            try:
                answer += client.recv(4096)
                break
            except TimeoutError:
                pass
        return answer

    def test_one_that_takes_too_long_is_told_and_one_that_goes_on_sending_is_not(self) -> None:
        with patch.object(heard, "PATIENCE_SECONDS", 0.3), patch.object(heard, "LEAST_BYTES_A_SECOND", 10):
            slow, steady = self.knock(), self.knock()
            slow.sendall(b"G")
            steady.sendall(b"GET /a-long-address-that-is-worth-waiting-for")
            self.assertTrue(
                self.answer(slow).startswith(b"HTTP/1.1 408 Request Timeout\r\nConnection: close")
            )
            self.assertEqual(len(self.worker.listening), 1)

    def test_a_head_without_an_end_is_told(self) -> None:
        client = self.knock()
        client.sendall(b"GET / HTTP/1.1\r\nCookie: " + b"x" * heard.LONGEST_HEAD)
        self.assertTrue(self.answer(client).startswith(b"HTTP/1.1 431 "))

    def test_who_asks_first_whether_to_send_is_told_to(self) -> None:
        client = self.knock()
        head = b"POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        client.sendall(head)
        self.assertEqual(self.answer(client), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(b"body")
        self.round_until(lambda: self.worker.guests)

    def test_one_that_gives_up_or_never_says_anything_is_forgotten(self) -> None:
        gone, silent = self.knock(), self.knock()
        self.round_until(lambda: len(self.worker.listening) == 2)
        gone.close()
        self.round_until(lambda: len(self.worker.listening) == 1)
        next(iter(self.worker.listening)).timeout = 0.0
        self.round_until(lambda: not self.worker.listening)
        self.assertEqual((self.worker.nr_conns, silent.recv(1)), (0, b""))

    def test_what_comes_with_the_request_before_is_answered_after_it(self) -> None:
        self.knock().sendall(REQUEST + REQUEST.replace(b"/", b"/next", 1) + REQUEST[:10])
        self.round_until(lambda: self.worker.guests)
        (conn,) = self.worker.guests
        self.assertEqual(next(conn.parser).uri, "/")
        done: Future[bool] = Future()
        done.set_result(True)
        self.worker.finish_request(conn, done)
        self.assertEqual(len(self.worker.guests), 2)
        self.assertEqual(next(conn.parser).uri, "/next")
        self.worker.finish_request(conn, done)
        self.assertEqual((len(self.worker.guests), len(self.worker.listening)), (2, 1))

    def test_a_body_that_nobody_has_read_is_passed_over_however_long_it_is(self) -> None:
        client = self.knock()
        call = b"POST /much HTTP/1.1\r\nHost: shop\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2_000_000
        sending = threading.Thread(target=client.sendall, args=[call])
        sending.start()
        self.round_until(lambda: self.worker.guests)
        sending.join()
        [guest] = self.worker.guests
        self.assertEqual(next(guest.parser).uri, "/much")
        self.assertTrue(self.worker._keepalive_after(guest, True))
        self.assertFalse(self.worker._keepalive_after(guest, False))
        done: Future[bool] = Future()
        done.set_result(True)
        self.worker.finish_request(guest, done)
        client.sendall(REQUEST)
        self.round_until(lambda: len(self.worker.guests) == 2)
        self.assertEqual(next(guest.parser).uri.encode(), REQUEST.split()[1])


class HeardTest(TestCase):
    def heard(self, *parts: bytes) -> Heard:
        found = Heard()
        for part in parts:
            found.add(part)
        return found

    def test_a_request_is_done_when_nothing_is_missing_however_it_comes(self) -> None:
        whole = b"POST / HTTP/1.1\r\nHost: shop\r\ncontent-length:  4 \r\n\r\nbody"
        for step in (1, 2, 3, 7, len(whole)):
            parts = [whole[at : at + step] for at in range(0, len(whole), step)]
            for count in range(len(parts)):
                self.assertFalse(self.heard(*parts[:count]).is_done)
            found = self.heard(b"\r\n", *parts)
            self.assertTrue(found.is_done and found.is_whole)
            self.assertEqual((found.read(100), found.read(1)), (whole, b""))

    def test_what_will_be_refused_is_not_waited_for_nor_believed_afterwards(self) -> None:
        head = b"POST / HTTP/1.1\r\nHost: shop\r\n"
        for said in (
            b"Transfer-Encoding: chunked\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
            b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n",
            b"Content-Length: +4\r\n\r\n",
            b"Content-Length: \r\n\r\n",
            b"Content-Length: %d\r\n\r\n" % (heard.MOST_HEARD + 1),
            b"Content-Length: 4\n\n",
            b"Content-Length: 4\r\n\n",
        ):
            with self.subTest(said):
                found = self.heard(head + said + b"GET /smuggled HTTP/1.1\r\n\r\n")
                self.assertTrue(found.is_done)
                self.assertFalse(found.is_whole or found.has_surplus)
                self.assertEqual(found.read(1000), head + said)

    def test_it_waits_for_as_much_as_is_let_in(self) -> None:
        self.assertEqual(heard.MOST_HEARD, admission.MOST_UPLOADED)
        head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % heard.MOST_HEARD
        found = self.heard(head, b"x" * (heard.MOST_HEARD - 1))
        self.assertFalse(found.is_done)
        found.add(b"xGET /next")
        self.assertTrue(found.is_done and found.has_surplus)
        self.assertEqual(len(found.read(heard.MOST_HEARD * 2)), len(head) + heard.MOST_HEARD)
