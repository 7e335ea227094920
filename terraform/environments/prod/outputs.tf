# Read by kubernetes/render; all are strings.

output "region" {
  description = "The AWS region."
  value       = module.shop.region
}

output "account_id" {
  description = "The AWS account."
  value       = module.shop.account_id
}

output "environment" {
  description = "Name of the environment."
  value       = module.shop.environment
}

output "cluster_name" {
  description = "The cluster, for aws eks update-kubeconfig."
  value       = module.shop.cluster_name
}

output "vpc_id" {
  description = "The VPC, for the load balancer controller."
  value       = module.shop.vpc_id
}

output "ecr_repository_url" {
  description = "Repository of this environment's images."
  value       = module.shop.ecr_repository_url
}

output "app_role_arn" {
  description = "Role of the shop's service account."
  value       = module.shop.app_role_arn
}

output "load_balancer_controller_role_arn" {
  description = "Role of the load balancer controller's service account."
  value       = module.shop.load_balancer_controller_role_arn
}

output "certificate_arn" {
  description = "Certificate of the ingress."
  value       = module.shop.certificate_arn
}

output "site_host" {
  description = "Host name of the shop."
  value       = module.shop.site_host
}

output "database_host" {
  description = "Host name of the database."
  value       = module.shop.database_host
}

output "database_port" {
  description = "Port of the database."
  value       = module.shop.database_port
}

output "database_name" {
  description = "Name of the database inside PostgreSQL."
  value       = module.shop.database_name
}

output "database_secret_arn" {
  description = "Secret with the database's username and password."
  value       = module.shop.database_secret_arn
}

output "app_secret_arn" {
  description = "Secret with SECRET_KEY and METRICS_TOKEN."
  value       = module.shop.app_secret_arn
}

output "media_bucket" {
  description = "Bucket of the covers."
  value       = module.shop.media_bucket
}

output "log_group_name" {
  description = "Log group of the pods."
  value       = module.shop.log_group_name
}

output "mail_from" {
  description = "Sender address of the shop's mail."
  value       = module.shop.mail_from
}

output "plan_role_arn" {
  description = "Role that plans of pull requests assume."
  value       = module.shop.plan_role_arn
}

output "deploy_role_arn" {
  description = "Role that deployments assume."
  value       = module.shop.deploy_role_arn
}
