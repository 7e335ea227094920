"""Checks that the AWS Load Balancer Controller will find the right subnets, in AWS or its stand-in.

    python checks/load_balancer_subnets.py VPC CLUSTER

The controller selects a load balancer's subnets by their tags alone. If private subnets carry
kubernetes.io/role/elb too, it may select those. The tags must therefore match the routes: a public subnet
routes to an internet gateway, a private one to a NAT gateway. A load balancer only reaches pods in zones
where it has a subnet, so public and private subnets must cover the same zones.

Prints one line per problem, and exits with 1 if there is any.
"""

import sys
from dataclasses import dataclass

EXTERNAL = "kubernetes.io/role/elb"
INTERNAL = "kubernetes.io/role/internal-elb"
# An application load balancer needs this many free addresses in each of its subnets.
FREE_ADDRESSES = 8


@dataclass(frozen=True)
class Subnet:
    name: str
    zone: str
    free_addresses: int
    to_internet: bool
    to_nat: bool
    tags: dict[str, str]


def faults(*, subnets: list[Subnet], cluster: str) -> list[str]:
    """Return the problems that keep the load balancer from public subnets or from the private ones' pods."""
    found = [fault for subnet in subnets for fault in faults_of_one(subnet, cluster=cluster)]
    return found + faults_of_zones(subnets) + candidates_too_many(subnets)


def faults_of_one(subnet: Subnet, *, cluster: str) -> list[str]:
    kind = "public" if subnet.to_internet else "private"
    right, wrong = (EXTERNAL, INTERNAL) if subnet.to_internet else (INTERNAL, EXTERNAL)
    found = []
    if wrong in subnet.tags:
        found.append(f"{subnet.name} is {kind} and carries {wrong}")
    # The controller accepts "1" and an empty value.
    if subnet.tags.get(right) not in ("1", ""):
        found.append(f"{subnet.name} is {kind} and lacks {right}")
    if subnet.tags.get(f"kubernetes.io/cluster/{cluster}") not in ("shared", "owned"):
        found.append(f"{subnet.name} lacks the tag of the cluster {cluster}")
    if subnet.free_addresses < FREE_ADDRESSES:
        found.append(f"{subnet.name} has {subnet.free_addresses} free addresses, fewer than {FREE_ADDRESSES}")
    if not subnet.to_internet and not subnet.to_nat:
        found.append(f"{subnet.name} leads neither to the internet nor to a NAT gateway")
    return found


def faults_of_zones(subnets: list[Subnet]) -> list[str]:
    public = {subnet.zone for subnet in subnets if subnet.to_internet}
    private = {subnet.zone for subnet in subnets if not subnet.to_internet}
    found = []
    if len(public) < 2:
        found.append(f"a load balancer needs public subnets in two zones; they lie in {named(public)}")
    found += [
        f"{zone} has private subnets only: their pods are out of reach" for zone in sorted(private - public)
    ]
    found += [
        f"{zone} has public subnets only: there are no pods to reach" for zone in sorted(public - private)
    ]
    return found


def candidates_too_many(subnets: list[Subnet]) -> list[str]:
    """Return the zones with several candidate subnets, among which the controller would choose."""
    chosen = [subnet for subnet in subnets if EXTERNAL in subnet.tags]
    names = {zone: sorted(s.name for s in chosen if s.zone == zone) for zone in {s.zone for s in chosen}}
    return [
        f"{zone} has {len(names[zone])} candidates, of which one is taken: {', '.join(names[zone])}"
        for zone in sorted(names)
        if len(names[zone]) > 1
    ]


def named(zones: set[str]) -> str:
    return ", ".join(sorted(zones)) or "none"


def ask(*, vpc: str) -> list[Subnet]:
    # Imported here, so that the rules can be tested without boto3.
    import boto3

    ec2 = boto3.client("ec2")
    in_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    tables = ec2.describe_route_tables(Filters=in_vpc)["RouteTables"]
    subnets = []
    for subnet in ec2.describe_subnets(Filters=in_vpc)["Subnets"]:
        tags = {tag["Key"]: tag["Value"] for tag in subnet.get("Tags", [])}
        routes = routes_of(subnet["SubnetId"], tables)
        subnets.append(
            Subnet(
                name=tags.get("Name", subnet["SubnetId"]),
                zone=subnet["AvailabilityZone"],
                free_addresses=subnet["AvailableIpAddressCount"],
                to_internet=any(route.get("GatewayId", "").startswith("igw-") for route in routes),
                to_nat=any(route.get("NatGatewayId") for route in routes),
                tags=tags,
            )
        )
    return subnets


def routes_of(subnet_id: str, tables: list[dict]) -> list[dict]:
    """Return the routes of a subnet's own route table, else of the VPC's main one."""
    main = []
    for table in tables:
        for link in table["Associations"]:
            if link.get("SubnetId") == subnet_id:
                return table["Routes"]
            if link.get("Main"):
                main = table["Routes"]
    return main


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: load_balancer_subnets.py VPC CLUSTER")
    subnets = ask(vpc=sys.argv[1])
    if not subnets:
        sys.exit(f"{sys.argv[1]} has no subnets")
    found = faults(subnets=subnets, cluster=sys.argv[2])
    for fault in found:
        print(fault)
    if found:
        sys.exit(1)
    zones = {subnet.zone for subnet in subnets}
    print(f"The load balancer will span {named(zones)}, and find its targets in the private subnets there.")


if __name__ == "__main__":
    main()
