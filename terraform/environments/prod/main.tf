terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # terraform/bootstrap creates the bucket. Pass its name and region to init by -backend-config=bucket=… and
  # -backend-config=region=…. The lock is a file next to the state.
  backend "s3" {
    key          = "prod.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project     = "lori-books"
      Environment = "prod"
      ManagedBy   = "terraform"
    }
  }
}

# Generated in every run and stored in neither plan nor state. They are written to the secret only when
# app_secret_version is increased.
ephemeral "aws_secretsmanager_random_password" "secret_key" {
  password_length     = 64
  exclude_punctuation = true
}

ephemeral "aws_secretsmanager_random_password" "metrics_token" {
  password_length     = 48
  exclude_punctuation = true
}

module "shop" {
  source = "../../modules/shop"

  environment = "prod"
  region      = var.region
  zones       = var.zones

  # NAT gateways and endpoints in each zone, so that the failure of a zone does not affect the others.
  cidr               = "10.20.0.0/16"
  nat_per_zone       = true
  endpoints_per_zone = true

  database = {
    instance_class    = "db.t4g.medium"
    multi_az          = true
    storage_gib       = 50
    max_storage_gib   = 500
    memory_alarm_mib  = 400
    connections_alarm = 250
  }

  site_host         = var.site_host
  certificate_arn   = var.certificate_arn
  alarm_email       = var.alarm_email
  mail_from         = var.mail_from
  github_repository = var.github_repository

  create_oidc_provider        = var.create_oidc_provider
  administrator_role_arns     = var.administrator_role_arns
  api_cidrs                   = var.api_cidrs
  registry_reader_account_ids = var.registry_reader_account_ids
  kubernetes_version          = var.kubernetes_version
  log_retention_days          = var.log_retention_days
  deletion_protection         = var.deletion_protection
  final_snapshot              = var.final_snapshot

  secret_key           = ephemeral.aws_secretsmanager_random_password.secret_key.random_password
  metrics_token        = ephemeral.aws_secretsmanager_random_password.metrics_token.random_password
  app_secret_version   = var.app_secret_version
  secret_recovery_days = var.secret_recovery_days
}
