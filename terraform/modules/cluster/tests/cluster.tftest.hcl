mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/0f0f0f0f-0000-4000-8000-000000000000" }
  }

  mock_resource "aws_eks_cluster" {
    defaults = {
      arn      = "arn:aws:eks:eu-central-1:123456789012:cluster/lori-books-prod"
      identity = [{ oidc = [{ issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF" }] }]
    }
  }

  # The provider's default; a configured thumbprint would replace it.
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = {
      arn             = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"
      thumbprint_list = []
    }
  }
}

variables {
  name               = "lori-books-prod"
  account_id         = "123456789012"
  region             = "eu-central-1"
  vpc_id             = "vpc-1"
  private_subnet_ids = ["subnet-1", "subnet-2", "subnet-3"]
  log_group_arn      = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/eks/lori-books-prod/app"
  deploy_role_arn    = "arn:aws:iam::123456789012:role/lori-books-prod-deploy"
  app_secret_arns    = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:database", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app"]
  media_bucket_arn   = "arn:aws:s3:::lori-books-prod-media-123456789012"
  mail_from          = "books@example.org"
}

run "fargate" {
  assert {
    condition     = alltrue([for profile in aws_eks_fargate_profile.this : profile.subnet_ids == toset(var.private_subnet_ids)])
    error_message = "Pods would run in other subnets than the private ones."
  }

  assert {
    condition     = output.fargate_namespaces == tolist(["kube-system", "lori-books"])
    error_message = "A namespace lacks its profile: its pods would stay pending."
  }

  assert {
    condition     = jsondecode(aws_eks_addon.coredns.configuration_values).computeType == "Fargate"
    error_message = "CoreDNS would wait for a machine that never comes."
  }

  assert {
    condition     = aws_eks_addon.metrics_server.addon_name == "metrics-server"
    error_message = "The autoscaler has nothing to go by."
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.pod_logs.policy).Statement : statement.Resource])) == toset([
      var.log_group_arn, "${var.log_group_arn}:*",
    ])
    error_message = "Fargate could write into other log groups than the shop's, or not into that."
  }

  assert {
    condition     = jsondecode(aws_iam_role.pod_execution.assume_role_policy).Statement[0].Condition.ArnLike["aws:SourceArn"] == "arn:aws:eks:eu-central-1:123456789012:fargateprofile/lori-books-prod/*"
    error_message = "Another cluster's Fargate could use this role."
  }
}

run "cluster" {
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].subnet_ids == toset(var.private_subnet_ids)
    error_message = "The control plane reaches into other subnets than the private ones."
  }

  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"]) && aws_kms_key.secrets.enable_key_rotation
    error_message = "Kubernetes' secrets are not encrypted with a key that is rotated."
  }

  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.control_plane.name == "/aws/eks/lori-books-prod/cluster"
    error_message = "The control plane does not log everything into the group that Terraform made."
  }

  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "Somebody has access whom no access entry names."
  }

  assert {
    condition     = [for entry in aws_eks_access_entry.administrators : entry.principal_arn] == [var.deploy_role_arn] && aws_eks_access_policy_association.administrators["deploy"].principal_arn == var.deploy_role_arn
    error_message = "The pipeline, and it alone, should administer the cluster."
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.pods.thumbprint_list) == 0
    error_message = "A thumbprint is configured: it goes stale, and AWS ignores it."
  }
}

run "app_role" {
  assert {
    condition = jsondecode(aws_iam_role.app.assume_role_policy).Statement[0].Condition == {
      StringEquals = {
        "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF:sub" = "system:serviceaccount:lori-books:lori-books"
        "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF:aud" = "sts.amazonaws.com"
      }
    }
    error_message = "Another service account than the shop's gets its role."
  }

  assert {
    condition = jsonencode({ for statement in jsondecode(aws_iam_role_policy.app.policy).Statement : statement.Sid => flatten([statement.Resource]) }) == jsonencode({
      ReadItsSecrets          = var.app_secret_arns
      KeepCovers              = ["arn:aws:s3:::lori-books-prod-media-123456789012/*"]
      SeeWhetherACoverIsThere = ["arn:aws:s3:::lori-books-prod-media-123456789012"]
      SendMailFromItsOwnAddress = [
        "arn:aws:ses:eu-central-1:123456789012:configuration-set/*",
        "arn:aws:ses:eu-central-1:123456789012:identity/*",
      ]
    })
    error_message = "The shop may touch more than its two secrets, its covers and its mail."
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.app.policy).Statement :
      try(statement.Condition.StringEquals["ses:FromAddress"], null) == "books@example.org" if can(regex("^ses:", flatten([statement.Action])[0]))
    ])
    error_message = "The shop may send mail from any address."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.app.policy).Statement : alltrue([for action in flatten([statement.Action]) : !strcontains(action, "*")])])
    error_message = "The shop's role has an action with a star."
  }
}

run "load_balancer_controller_role" {
  assert {
    condition = jsondecode(aws_iam_role.load_balancer_controller.assume_role_policy).Statement[0].Condition == {
      StringEquals = {
        "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF:sub" = "system:serviceaccount:kube-system:aws-load-balancer-controller"
        "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF:aud" = "sts.amazonaws.com"
      }
    }
    error_message = "Another service account than the controller's gets its role."
  }

  # Statements that change something are restricted by tag, by VPC, or to the service-linked role.
  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.load_balancer_controller.policy).Statement :
      try(statement.Condition.StringEquals["aws:ResourceTag/elbv2.k8s.aws/cluster"], null) == "lori-books-prod"
      || try(statement.Condition.StringEquals["aws:RequestTag/elbv2.k8s.aws/cluster"], null) == "lori-books-prod"
      || try(statement.Condition.ArnEquals["ec2:Vpc"], null) == "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1"
      || try(statement.Condition.StringEquals["iam:AWSServiceName"], null) == "elasticloadbalancing.amazonaws.com"
      || try(statement.Resource, null) == "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1"
      if anytrue([for action in flatten([statement.Action]) : !can(regex(":(Describe|Get|List)", action))])
    ])
    error_message = "The controller could change what is not its own."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.load_balancer_controller.policy).Statement : alltrue([for action in flatten([statement.Action]) : !strcontains(action, "*")])])
    error_message = "The controller's role has an action with a star."
  }
}

run "people_who_administer" {
  variables { administrator_role_arns = ["arn:aws:iam::123456789012:role/people"] }

  assert {
    condition     = toset([for entry in aws_eks_access_policy_association.administrators : entry.principal_arn]) == toset([var.deploy_role_arn, "arn:aws:iam::123456789012:role/people"])
    error_message = "A named role has no access."
  }
}

run "refuses_mail_from_everybody" {
  command = plan

  variables { mail_from = "*" }

  expect_failures = [var.mail_from]
}

run "refuses_any_secret" {
  command = plan

  variables { app_secret_arns = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:*"] }

  expect_failures = [var.app_secret_arns]
}

run "refuses_kube_system_for_the_shop" {
  command = plan

  variables { namespace = "kube-system" }

  expect_failures = [var.namespace]
}
