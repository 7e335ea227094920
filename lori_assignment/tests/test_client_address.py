"""Tests of the client's address behind proxies."""

from __future__ import annotations

from django.test import RequestFactory, SimpleTestCase, override_settings

from lori_assignment.observability import client_address as module
from lori_assignment.observability.client_address import client_address
from lori_assignment.rest.throttling import AddressRateThrottle


class ClientAddressTest(SimpleTestCase):
    def setUp(self) -> None:
        self.addCleanup(module._warn_of_proxy.cache_clear)
        module._warn_of_proxy.cache_clear()

    def seen(self, told: str | None = None, *, peer: str = "10.0.0.1") -> str:
        headers = {} if told is None else {"X-Forwarded-For": told}
        return client_address(RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer))

    @override_settings(TRUSTED_PROXIES=1)
    def test_spellings_of_one_address_are_one_client(self) -> None:
        for told, address in (
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:40312", "203.0.113.7"),
            ("198.51.100.1, 203.0.113.7:40312", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:0:1::7", "2001:db8:0:1::"),
            ("[2001:db8:0:1:ffff::9]:40312", "2001:db8:0:1::"),
            ("[2001:db8:0:1::8]", "2001:db8:0:1::"),
            ("203.0.113.7 :80", "203.0.113.7"),
            ("[ 2001:db8:0:1::8 ] : 80", "2001:db8:0:1::"),
            ("2001:db8:0:1::8%" + "x" * 5000, "2001:db8:0:1::"),
            ("2002:cb00:7107:1::8", "2002:cb00:7107::"),
            ("2002:cb00:7107:ffff::9", "2002:cb00:7107::"),
            ("::1", "::"),
        ):
            with self.subTest(told):
                self.assertEqual(self.seen(told), address)

    @override_settings(TRUSTED_PROXIES=1)
    def test_entry_that_is_no_address_is_the_connection(self) -> None:
        for told in ("", "unknown1", "_hidden:80", "1.2.3", "1.2.3.4:x", "[x]:1", "x" * 5000):
            with self.subTest(told):
                self.assertEqual(self.seen(f"198.51.100.1, {told}"), "10.0.0.1")
        self.assertEqual(self.seen("unknown1", peer=""), "")

    @override_settings(TRUSTED_PROXIES=1)
    def test_throttle_of_the_api_counts_ipv6_networks(self) -> None:
        throttle = AddressRateThrottle()
        first, second = (
            throttle.get_ident(RequestFactory().get("/", headers={"X-Forwarded-For": f"2001:db8::{host}"}))
            for host in (1, 2)
        )
        self.assertEqual(first, second)

    @override_settings(TRUSTED_PROXIES=0)
    def test_unexpected_proxy_is_warned_of_once(self) -> None:
        with self.assertLogs("lori_assignment.observability.client_address", "WARNING") as logs:
            for _ in range(3):
                self.assertEqual(self.seen("203.0.113.7"), "10.0.0.1")
        self.assertEqual(len(logs.records), 1)
        with self.assertNoLogs("lori_assignment.observability.client_address"):
            self.seen()
