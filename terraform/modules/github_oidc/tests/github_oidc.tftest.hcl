mock_provider "aws" {
  # The provider's default; a configured thumbprint would replace it.
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { thumbprint_list = [] }
  }

  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/lori-books-prod-boundary" }
  }
}

override_resource {
  target = aws_iam_role.plan
  values = { arn = "arn:aws:iam::123456789012:role/lori-books-prod-plan" }
}

override_resource {
  target = aws_iam_role.deploy
  values = { arn = "arn:aws:iam::123456789012:role/lori-books-prod-deploy" }
}

variables {
  name               = "lori-books-prod"
  account_id         = "123456789012"
  github_repository  = "example/lori-books"
  github_environment = "prod"
  create_provider    = true
  state_bucket       = "lori-books-terraform-123456789012"
}

run "github_oidc" {
  assert {
    condition = jsondecode(aws_iam_role.plan.assume_role_policy).Statement == [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:sub" = "repo:example/lori-books:pull_request"
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        }
      }
    }]
    error_message = "The plan role lets in others than this repository's pull requests."
  }

  assert {
    condition = jsondecode(aws_iam_role.deploy.assume_role_policy).Statement == [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:sub" = "repo:example/lori-books:environment:prod"
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        }
      }
    }]
    error_message = "The deploy role lets in others than this repository's jobs in the environment prod."
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github[0].thumbprint_list) == 0
    error_message = "A thumbprint is configured: it goes stale, and AWS ignores it."
  }

  assert {
    condition     = aws_iam_role_policy_attachment.plan.policy_arn == "arn:aws:iam::aws:policy/ReadOnlyAccess"
    error_message = "The plan role may do more than read."
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement :
      statement.Effect == "Deny" || try(statement.Action, null) == "secretsmanager:GetRandomPassword"
    ])
    error_message = "The plan role's own policy allows something that it has no use for."
  }

  assert {
    condition = contains(flatten([for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement :
      statement.Action if statement.Effect == "Deny"
    ]), "secretsmanager:GetSecretValue")
    error_message = "A pull request could read the shop's secrets."
  }

  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement :
      statement.Effect == "Deny" && contains(flatten([statement.Action]), "s3:GetObject")
      && try(statement.NotResource, null) == "arn:aws:s3:::lori-books-terraform-123456789012/*"
    ])
    error_message = "A pull request could read objects other than the state."
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.deploy.policy).Statement :
      try(statement.Condition.StringEquals["iam:PermissionsBoundary"], null) == "arn:aws:iam::123456789012:policy/lori-books-prod-boundary"
      if statement.Effect == "Allow" && length(setintersection(flatten([try(statement.Action, [])]), ["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"])) > 0
    ])
    error_message = "The deploy role could give a role more than the boundary allows."
  }

  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.deploy.policy).Statement :
      statement.Effect == "Deny"
      && try(toset(statement.NotAction), null) == toset(["iam:Get*", "iam:List*"])
      && toset(flatten([statement.Resource])) == toset([
        "arn:aws:iam::123456789012:role/lori-books-prod-plan",
        "arn:aws:iam::123456789012:role/lori-books-prod-deploy",
        "arn:aws:iam::123456789012:policy/lori-books-prod-boundary",
        "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
      ])
    ])
    error_message = "The deploy role could widen itself."
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_policy.boundary.policy).Statement :
      alltrue([for action in statement.Action : !contains(["*", "iam:*", "sts:*"], action) && !can(regex("^iam:(Put|Attach|Update|Pass|CreateRole|CreateUser|CreatePolicy|CreateAccessKey)", action))])
    ])
    error_message = "The boundary lets a role change who may do what."
  }
}

run "an_account_has_one_provider" {
  variables { create_provider = false }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0
    error_message = "A second provider for one issuer, which AWS refuses."
  }

  assert {
    condition     = jsondecode(aws_iam_role.deploy.assume_role_policy).Statement[0].Principal.Federated == "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    error_message = "The roles don't trust the provider that the other environment made."
  }
}

run "refuses_a_pattern_for_a_repository" {
  command = plan

  variables { github_repository = "example/*" }

  expect_failures = [var.github_repository]
}

run "refuses_a_pattern_for_an_environment" {
  command = plan

  variables { github_environment = "*" }

  expect_failures = [var.github_environment]
}
