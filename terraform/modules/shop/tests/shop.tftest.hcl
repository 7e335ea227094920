mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_resourcegroupstaggingapi_resources" {
    defaults = { resource_tag_mapping_list = [] }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:mocked" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }

  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/mocked" }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/mocked" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/0f0f0f0f-0000-4000-8000-000000000000" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:mocked" }
  }

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::mocked" }
  }

  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mocked" }
  }

  mock_resource "aws_vpc" {
    defaults = { id = "vpc-1" }
  }

  mock_resource "aws_eks_cluster" {
    defaults = {
      arn      = "arn:aws:eks:eu-central-1:123456789012:cluster/mocked"
      identity = [{ oidc = [{ issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF" }] }]
    }
  }

  mock_resource "aws_db_instance" {
    defaults = {
      address            = "mocked.eu-central-1.rds.amazonaws.com"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-mocked" }]
    }
  }
}

override_module {
  target = module.network
  outputs = {
    vpc_id             = "vpc-1"
    cidr               = "10.20.0.0/16"
    public_subnet_ids  = { "eu-central-1a" = "subnet-public1", "eu-central-1b" = "subnet-public2", "eu-central-1c" = "subnet-public3" }
    private_subnet_ids = { "eu-central-1a" = "subnet-private1", "eu-central-1b" = "subnet-private2", "eu-central-1c" = "subnet-private3" }
  }
}

override_resource {
  target = module.cluster.aws_eks_cluster.this
  values = {
    identity   = [{ oidc = [{ issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF" }] }]
    vpc_config = { cluster_security_group_id = "sg-pods" }
  }
}

variables {
  environment          = "prod"
  cidr                 = "10.20.0.0/16"
  database             = { instance_class = "db.t4g.medium" }
  site_host            = "books.example.org"
  certificate_arn      = "arn:aws:acm:eu-central-1:123456789012:certificate/0f0f0f0f-0000-4000-8000-000000000000"
  github_repository    = "example/lori-books"
  create_oidc_provider = false
  alarm_email          = "alarms@example.org"
  secret_key           = "0123456789012345678901234567890123456789012345678901234567890123"
  metrics_token        = "012345678901234567890123456789012345678901234567"
}

# The tests of observability cover the load balancer's alarms; here the load balancer exists.
override_data {
  target = module.observability.data.aws_resourcegroupstaggingapi_resources.load_balancer
  values = {
    resource_tag_mapping_list = [{ resource_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/k8s-loribook-abc/50dc6c495c0c9188" }]
  }
}

run "production" {
  assert {
    condition     = toset(module.cluster.fargate_subnet_ids) == toset(values(module.network.private_subnet_ids))
    error_message = "Pods would run in other subnets than the private ones."
  }

  assert {
    condition     = length(setintersection(module.cluster.fargate_subnet_ids, values(module.network.public_subnet_ids))) == 0
    error_message = "Pods would run in a public subnet."
  }

  # Read by kubernetes/render.
  assert {
    condition = (
      output.environment == "prod"
      && output.region == "eu-central-1"
      && output.account_id == "123456789012"
      && output.cluster_name == "lori-books-prod"
      && output.media_bucket == "lori-books-prod-media-123456789012"
      && output.database_name == "lori"
      && output.database_port == "5432"
      && output.log_group_name == "/aws/eks/lori-books-prod/app"
    )
    error_message = "An output is not what the manifests are made of."
  }

  assert {
    condition     = output.mail_from == "books@books.example.org"
    error_message = "Without an address of its own the shop writes from books@ and its host."
  }

  assert {
    condition     = output.database_secret_arn != output.app_secret_arn
    error_message = "The shop's own secret is the database's."
  }
}

run "another_address" {
  command = plan

  variables { mail_from = "desk@example.org" }

  assert {
    condition     = output.mail_from == "desk@example.org"
    error_message = "The address that was named is not used."
  }
}

run "refuses_a_third_environment" {
  command = plan

  variables { environment = "test" }

  expect_failures = [var.environment]
}

run "refuses_a_certificate_of_another_region" {
  command = plan

  variables { certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/0f0f0f0f-0000-4000-8000-000000000000" }

  expect_failures = [var.certificate_arn]
}

run "refuses_a_url_for_a_host" {
  command = plan

  variables { site_host = "https://books.example.org" }

  expect_failures = [var.site_host]
}
