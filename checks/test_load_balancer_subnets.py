"""Tests of the subnet rules, among them that tagging all subnets for external load balancers is a problem."""

import sys
import unittest
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from load_balancer_subnets import EXTERNAL, INTERNAL, Subnet, faults, routes_of

ZONES = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
CLUSTER_TAG = {"kubernetes.io/cluster/shop": "shared"}


def public(zone: str, **tags: str) -> Subnet:
    return Subnet(f"public-{zone}", zone, 1000, True, False, CLUSTER_TAG | (tags or {EXTERNAL: "1"}))


def private(zone: str, **tags: str) -> Subnet:
    return Subnet(f"private-{zone}", zone, 8000, False, True, CLUSTER_TAG | (tags or {INTERNAL: "1"}))


def sound() -> list[Subnet]:
    return [kind(zone) for kind in (public, private) for zone in ZONES]


class LoadBalancerSubnetsTest(unittest.TestCase):
    def faults(self, subnets: list[Subnet]) -> list[str]:
        return faults(subnets=subnets, cluster="shop")

    def test_disjoint_tags_pass(self) -> None:
        self.assertEqual(self.faults(sound()), [])

    def test_mixed_tags_are_found(self) -> None:
        subnets = [kind(zone, **{EXTERNAL: "1"}) for kind in (public, private) for zone in ZONES]
        found = self.faults(subnets)
        for zone in ZONES:
            self.assertIn(f"private-{zone} is private and carries {EXTERNAL}", found)
            self.assertIn(f"private-{zone} is private and lacks {INTERNAL}", found)
            self.assertIn(
                f"{zone} has 2 candidates, of which one is taken: private-{zone}, public-{zone}",
                found,
            )
        self.assertEqual(len(found), 9)

    def test_public_subnet_with_both_tags_is_found(self) -> None:
        subnets = [public(ZONES[0], **{EXTERNAL: "1", INTERNAL: "1"}), *sound()[1:]]
        self.assertEqual(self.faults(subnets), [f"public-{ZONES[0]} is public and carries {INTERNAL}"])

    def test_disabled_tag_is_found(self) -> None:
        subnets = [public(ZONES[0], **{EXTERNAL: "0"}), *sound()[1:]]
        self.assertEqual(self.faults(subnets), [f"public-{ZONES[0]} is public and lacks {EXTERNAL}"])

    def test_pods_in_zone_without_balancer_are_found(self) -> None:
        found = self.faults([subnet for subnet in sound() if subnet.name != f"public-{ZONES[2]}"])
        self.assertEqual(
            found,
            [f"{ZONES[2]} has private subnets only: their pods are out of reach"],
        )

    def test_balancer_in_zone_without_pods_is_found(self) -> None:
        found = self.faults([subnet for subnet in sound() if subnet.name != f"private-{ZONES[2]}"])
        self.assertEqual(
            found,
            [f"{ZONES[2]} has public subnets only: there are no pods to reach"],
        )

    def test_single_zone_is_found(self) -> None:
        found = self.faults([public(ZONES[0]), private(ZONES[0])])
        self.assertEqual(
            found, [f"a load balancer needs public subnets in two zones; they lie in {ZONES[0]}"]
        )

    def test_subnets_of_another_cluster_are_found(self) -> None:
        found = faults(subnets=sound(), cluster="other")
        self.assertEqual(len(found), 6)

    def test_subnet_without_outbound_route_is_found(self) -> None:
        subnets = [*sound()[:5], replace(private(ZONES[2]), to_nat=False)]
        self.assertEqual(
            self.faults(subnets), [f"private-{ZONES[2]} leads neither to the internet nor to a NAT gateway"]
        )

    def test_full_subnet_is_found(self) -> None:
        subnets = [replace(public(ZONES[0]), free_addresses=7), *sound()[1:]]
        self.assertEqual(self.faults(subnets), [f"public-{ZONES[0]} has 7 free addresses, fewer than 8"])

    def test_own_routes_override_the_main_table(self) -> None:
        own, others = [{"NatGatewayId": "nat-1"}], [{"GatewayId": "igw-1"}]
        tables = [
            {"Associations": [{"Main": True}], "Routes": others},
            {"Associations": [{"SubnetId": "subnet-1"}], "Routes": own},
        ]
        self.assertEqual(routes_of("subnet-1", tables), own)
        self.assertEqual(routes_of("subnet-2", tables), others)


if __name__ == "__main__":
    unittest.main()
