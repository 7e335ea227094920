"""Whom a worker lets in when it is told to stop; `.ci/start-check` sees the whole of it under load."""

from __future__ import annotations

import selectors
import socket
from unittest import TestCase

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.sock import TCPSocket
from gunicorn.util import load_class

from lori_assignment import gunicorn_conf
from lori_assignment.gunicorn_worker import Worker


class Doorkeeper(Worker):
    """Lets in, and serves nobody."""

    def enqueue_req(self, conn: object) -> None:
        pass


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

    def knock(self) -> None:
        self.addCleanup(socket.create_connection(self.address, timeout=5).close)

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
