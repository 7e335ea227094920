# An environment, composed of the other modules. Staging and production use it with different sizes; the tests of this
# module cover both.

data "aws_caller_identity" "this" {}

locals {
  name       = "lori-books-${var.environment}"
  account_id = data.aws_caller_identity.this.account_id
  mail_from  = coalesce(var.mail_from, "books@${var.site_host}")
}

module "github_oidc" {
  source = "../github_oidc"

  name               = local.name
  account_id         = local.account_id
  github_repository  = var.github_repository
  github_environment = var.environment
  create_provider    = var.create_oidc_provider
  # The name that terraform/bootstrap uses.
  state_bucket = "lori-books-terraform-${local.account_id}"
}

module "network" {
  source = "../network"

  name                     = local.name
  account_id               = local.account_id
  region                   = var.region
  zones                    = var.zones
  cidr                     = var.cidr
  cluster_name             = local.name
  nat_per_zone             = var.nat_per_zone
  endpoints_per_zone       = var.endpoints_per_zone
  flow_log_retention_days  = var.log_retention_days
  permissions_boundary_arn = module.github_oidc.permissions_boundary_arn
}

module "registry" {
  source = "../registry"

  name               = local.name
  reader_account_ids = var.registry_reader_account_ids
}

module "storage" {
  source = "../storage"

  name       = local.name
  account_id = local.account_id
}

module "secrets" {
  source = "../secrets"

  name               = local.name
  secret_key         = var.secret_key
  metrics_token      = var.metrics_token
  app_secret_version = var.app_secret_version
  recovery_days      = var.secret_recovery_days
}

module "cluster" {
  source = "../cluster"

  name                     = local.name
  account_id               = local.account_id
  region                   = var.region
  kubernetes_version       = var.kubernetes_version
  vpc_id                   = module.network.vpc_id
  private_subnet_ids       = values(module.network.private_subnet_ids)
  api_cidrs                = var.api_cidrs
  log_group_arn            = module.observability.log_group_arn
  log_retention_days       = var.log_retention_days
  deploy_role_arn          = module.github_oidc.deploy_role_arn
  administrator_role_arns  = var.administrator_role_arns
  app_secret_arns          = [module.database.secret_arn, module.secrets.app_secret_arn]
  media_bucket_arn         = module.storage.bucket_arn
  mail_from                = local.mail_from
  permissions_boundary_arn = module.github_oidc.permissions_boundary_arn
}

module "database" {
  source = "../database"

  name                     = local.name
  account_id               = local.account_id
  vpc_id                   = module.network.vpc_id
  private_subnet_ids       = values(module.network.private_subnet_ids)
  client_security_group_id = module.cluster.pod_security_group_id
  instance_class           = var.database.instance_class
  multi_az                 = var.database.multi_az
  storage_gib              = var.database.storage_gib
  max_storage_gib          = var.database.max_storage_gib
  memory_alarm_mib         = var.database.memory_alarm_mib
  connections_alarm        = var.database.connections_alarm
  deletion_protection      = var.deletion_protection
  final_snapshot           = var.final_snapshot
  log_retention_days       = var.log_retention_days
  alarm_topic_arn          = module.observability.alarm_topic_arn
  permissions_boundary_arn = module.github_oidc.permissions_boundary_arn
}

module "observability" {
  source = "../observability"

  name                 = local.name
  account_id           = local.account_id
  region               = var.region
  alarm_email          = var.alarm_email
  database_instance_id = module.database.instance_id
  log_retention_days   = var.log_retention_days
}
