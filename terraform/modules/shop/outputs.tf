# What an environment hands on; every one is a string.

output "region" {
  description = "The AWS region."
  value       = var.region
}

output "account_id" {
  description = "The AWS account."
  value       = local.account_id
}

output "environment" {
  description = "Name of the environment."
  value       = var.environment
}

output "cluster_name" {
  description = "The cluster, for aws eks update-kubeconfig."
  value       = module.cluster.cluster_name
}

output "vpc_id" {
  description = "The VPC, which the load balancer controller is told."
  value       = module.network.vpc_id
}

output "ecr_repository_url" {
  description = "Where this environment's images lie."
  value       = module.registry.repository_url
}

output "app_role_arn" {
  description = "Role of the shop's service account."
  value       = module.cluster.app_role_arn
}

output "load_balancer_controller_role_arn" {
  description = "Role of the load balancer controller's service account."
  value       = module.cluster.load_balancer_controller_role_arn
}

output "certificate_arn" {
  description = "The certificate that the ingress shows."
  value       = var.certificate_arn
}

output "site_host" {
  description = "Host name of the shop."
  value       = var.site_host
}

output "database_host" {
  description = "Host name of the database."
  value       = module.database.host
}

output "database_port" {
  description = "Port of the database."
  value       = tostring(module.database.port)
}

output "database_name" {
  description = "Name of the database inside PostgreSQL."
  value       = module.database.database_name
}

output "database_secret_arn" {
  description = "Secret with the database's username and password."
  value       = module.database.secret_arn
}

output "app_secret_arn" {
  description = "Secret with SECRET_KEY and METRICS_TOKEN."
  value       = module.secrets.app_secret_arn
}

output "media_bucket" {
  description = "Bucket of the covers."
  value       = module.storage.bucket
}

output "log_group_name" {
  description = "Log group of the pods."
  value       = module.observability.log_group_name
}

output "mail_from" {
  description = "The address that the shop sends mail from."
  value       = local.mail_from
}

output "plan_role_arn" {
  description = "Role that a pull request's plan takes: a variable of the repository on GitHub."
  value       = module.github_oidc.plan_role_arn
}

output "deploy_role_arn" {
  description = "Role that a deployment takes: a variable of the environment on GitHub."
  value       = module.github_oidc.deploy_role_arn
}
