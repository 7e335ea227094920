"""Whom a worker lets in when it is told to stop, and for whom it does not wait; `.ci/start-check` sees the
whole of it under load."""

from __future__ import annotations

import selectors
import socket
import time
from concurrent.futures import Future
from unittest import TestCase
from unittest.mock import patch

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.sock import TCPSocket
from gunicorn.util import load_class
from gunicorn.workers.gthread import TConn

from lori_assignment import gunicorn_conf, gunicorn_worker
from lori_assignment.gunicorn_worker import Worker


class Doorkeeper(Worker):
    """Lets in, and answers nobody."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.guests: list[TConn] = []

    def enqueue_req(self, conn: TConn) -> None:
        self.guests.append(conn)


class WorkerTest(TestCase):
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
        self.worker.murder_pending()

    def was_the_last_answer(self) -> socket.socket:
        """A client whose connection is to be closed now, and who has not closed it yet."""
        client = self.knock()
        self.round()
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
        self.knock()
        self.round()
        self.worker.guests[0].sock.close()
        done: Future[bool] = Future()
        done.set_result(False)
        self.worker.finish_request(self.worker.guests[0], done)
        self.assertEqual(self.worker.nr_conns, 0)
