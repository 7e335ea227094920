output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "The VPC's addresses."
  value       = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  description = "The public subnets, by zone: for load balancers and NAT gateways only."
  value       = { for zone, subnet in aws_subnet.public : zone => subnet.id }
}

output "private_subnet_ids" {
  description = "The private subnets, by zone: for pods and the database."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}
