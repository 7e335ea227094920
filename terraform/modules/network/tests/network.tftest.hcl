mock_provider "aws" {
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:flow" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/flow" }
  }
}

variables {
  name         = "lori-books-prod"
  account_id   = "123456789012"
  region       = "eu-central-1"
  zones        = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  cidr         = "10.20.0.0/16"
  cluster_name = "lori-books-prod"
}

run "network" {
  # If both kinds had the tag role/elb, the controller would use the wrong subnets.
  assert {
    condition     = alltrue([for subnet in aws_subnet.public : subnet.tags["kubernetes.io/role/elb"] == "1"])
    error_message = "A public subnet lacks the tag by which the controller finds it."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.tags["kubernetes.io/role/internal-elb"] == "1"])
    error_message = "A private subnet lacks the tag of internal load balancers."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : !contains(keys(subnet.tags), "kubernetes.io/role/internal-elb")])
    error_message = "A public subnet carries the private subnets' tag."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : !contains(keys(subnet.tags), "kubernetes.io/role/elb")])
    error_message = "A private subnet carries the public subnets' tag: the controller would put the load balancer into it."
  }

  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.public), values(aws_subnet.private)) : subnet.tags["kubernetes.io/cluster/lori-books-prod"] == "shared"])
    error_message = "A subnet lacks the cluster's tag."
  }

  assert {
    condition     = toset([for subnet in aws_subnet.public : subnet.availability_zone]) == toset(var.zones)
    error_message = "The public subnets don't lie in all three zones."
  }

  assert {
    condition     = toset([for subnet in aws_subnet.private : subnet.availability_zone]) == toset(var.zones)
    error_message = "The private subnets don't lie in the public ones' zones: the load balancer would not reach their pods."
  }

  assert {
    condition     = values(aws_subnet.private)[*].cidr_block == ["10.20.0.0/19", "10.20.32.0/19", "10.20.64.0/19"]
    error_message = "The private subnets' addresses moved: that would make the subnets, and all in them, anew."
  }

  assert {
    condition     = values(aws_subnet.public)[*].cidr_block == ["10.20.128.0/22", "10.20.132.0/22", "10.20.136.0/22"]
    error_message = "The public subnets' addresses moved: that would make the subnets, and all in them, anew."
  }

  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.public), values(aws_subnet.private)) : !subnet.map_public_ip_on_launch])
    error_message = "A subnet gives out public addresses."
  }

  assert {
    condition     = aws_route.internet.gateway_id == aws_internet_gateway.this.id && alltrue([for link in aws_route_table_association.public : link.route_table_id == aws_route_table.public.id])
    error_message = "A public subnet does not lead to the internet."
  }

  assert {
    condition = alltrue([for zone in var.zones :
      aws_route_table_association.private[zone].route_table_id == aws_route_table.private[zone].id
      && aws_route.nat[zone].route_table_id == aws_route_table.private[zone].id
      && aws_route.nat[zone].nat_gateway_id == aws_nat_gateway.this[zone].id
      && aws_nat_gateway.this[zone].subnet_id == aws_subnet.public[zone].id
    ])
    error_message = "A private subnet does not leave by its own zone's NAT gateway."
  }

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.route_table_ids == toset([for table in aws_route_table.private : table.id])
    error_message = "The private subnets don't reach S3 by its gateway endpoint."
  }

  assert {
    condition = toset([for endpoint in aws_vpc_endpoint.interface : endpoint.service_name]) == toset([
      for service in ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "sts"] : "com.amazonaws.eu-central-1.${service}"
    ])
    error_message = "Images, tokens, secrets or logs would leave the VPC."
  }

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled && endpoint.subnet_ids == toset([for subnet in aws_subnet.private : subnet.id])])
    error_message = "An endpoint is not in every private subnet, or pods don't find it by the service's own name."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == "10.20.0.0/16" && aws_vpc_security_group_ingress_rule.endpoints.from_port == 443 && aws_vpc_security_group_ingress_rule.endpoints.to_port == 443
    error_message = "The endpoints take more than HTTPS from the VPC."
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.log_destination == aws_cloudwatch_log_group.flow.arn
    error_message = "The VPC's connections are not all recorded."
  }
}

run "one_nat_gateway_for_all" {
  variables {
    nat_per_zone       = false
    endpoints_per_zone = false
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"] && alltrue([for route in aws_route.nat : route.nat_gateway_id == aws_nat_gateway.this["eu-central-1a"].id])
    error_message = "The private subnets don't share the first zone's NAT gateway."
  }

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.subnet_ids == toset([aws_subnet.private["eu-central-1a"].id])])
    error_message = "An endpoint has an interface outside the first zone."
  }

  assert {
    condition     = length(aws_route_table.private) == 3
    error_message = "The private subnets lost their own route tables."
  }
}

run "refuses_zones_of_another_region" {
  command = plan

  variables { zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }

  expect_failures = [var.zones]
}

run "refuses_two_zones" {
  command = plan

  variables { zones = ["eu-central-1a", "eu-central-1b"] }

  expect_failures = [var.zones]
}

run "refuses_public_addresses" {
  command = plan

  variables { cidr = "11.0.0.0/16" }

  expect_failures = [var.cidr]
}
