# GitHub Actions authenticate with a token signed by GitHub, never with a long-lived key. There are two roles: a
# read-only one for plans of pull requests, and one for deployments. Each trusts exactly one subject: a pattern with a
# star would admit all branches, or all repositories whose names begin alike.

locals {
  issuer       = "token.actions.githubusercontent.com"
  provider_arn = "arn:aws:iam::${var.account_id}:oidc-provider/${local.issuer}"

  subjects = {
    plan   = "repo:${var.github_repository}:pull_request"
    deploy = "repo:${var.github_repository}:environment:${var.github_environment}"
  }

  trust = {
    for name, subject in local.subjects : name => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = local.provider_arn }
        Condition = {
          StringEquals = {
            "${local.issuer}:sub" = subject
            "${local.issuer}:aud" = "sts.amazonaws.com"
          }
        }
      }]
    })
  }

  own_roles    = "arn:aws:iam::${var.account_id}:role/${var.name}-*"
  boundary_arn = "arn:aws:iam::${var.account_id}:policy/${var.name}-boundary"
}

# An account can have only one provider per issuer. If staging and production share an account, one of them creates it,
# and the other sets create_provider to false. No thumbprint: AWS uses its own list of certificate authorities and
# ignores it.
resource "aws_iam_openid_connect_provider" "github" {
  count = var.create_provider ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

# ---------------------------------------------------------------------------------------------------------------
# plan: permissions of pull requests

resource "aws_iam_role" "plan" {
  name                 = "${var.name}-plan"
  description          = "Lets a pull request of ${var.github_repository} show what would change"
  assume_role_policy   = local.trust["plan"]
  max_session_duration = 3600

  depends_on = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_role_policy_attachment" "plan" {
  # checkov:skip=CKV_AWS_275:This is the read-only policy, not the administrators'; the policy below denies what plans do not need.
  role       = aws_iam_role.plan.name
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

# Plans may read settings, not contents: code of pull requests runs with this role.
resource "aws_iam_role_policy" "plan" {
  name = "plan"
  role = aws_iam_role.plan.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # A plan generates the ephemeral passwords, although nothing stores them.
      Sid      = "MakeARandomPassword"
      Effect   = "Allow"
      Action   = "secretsmanager:GetRandomPassword"
      Resource = "*"
      }, {
      Sid    = "ReadNoSecretsAndNoLogs"
      Effect = "Deny"
      Action = [
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "kms:Decrypt",
        "logs:FilterLogEvents",
        "logs:GetLogEvents",
        "logs:GetLogRecord",
        "logs:GetQueryResults",
        "logs:StartLiveTail",
        "logs:StartQuery",
        "rds:DownloadCompleteDBLogFile",
        "rds:DownloadDBLogFilePortion",
        "secretsmanager:BatchGetSecretValue",
        "secretsmanager:GetSecretValue",
        "ssm:GetParameter*",
      ]
      Resource = "*"
      }, {
      Sid         = "ReadNoObjectButTheState"
      Effect      = "Deny"
      Action      = ["s3:GetObject", "s3:GetObjectVersion"]
      NotResource = "arn:aws:s3:::${var.state_bucket}/*"
    }]
  })
}

# ---------------------------------------------------------------------------------------------------------------
# deploy: permissions of deployments

resource "aws_iam_role" "deploy" {
  name                 = "${var.name}-deploy"
  description          = "Lets a deployment of ${var.github_repository} to ${var.github_environment} change what Terraform owns"
  assume_role_policy   = local.trust["deploy"]
  max_session_duration = 7200

  depends_on = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_role_policy_attachment" "deploy" {
  role       = aws_iam_role.deploy.name
  policy_arn = "arn:aws:iam::aws:policy/PowerUserAccess"
}

# PowerUserAccess allows everything except IAM. A deployment also manages the roles of its environment. It cannot grant
# them more than the permissions boundary allows, or change the boundary or the two roles of GitHub, so a compromised
# pipeline cannot extend its permissions. Changes to these are applied by hand.
resource "aws_iam_role_policy" "deploy" {
  # checkov:skip=CKV_AWS_355:Only reading IAM, which a plan needs, applies to all resources; statements that change something name theirs.
  name = "deploy"
  role = aws_iam_role.deploy.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "LookAtIam"
      Effect   = "Allow"
      Action   = ["iam:Get*", "iam:List*"]
      Resource = "*"
      }, {
      Sid    = "MakeBoundedRoles"
      Effect = "Allow"
      Action = [
        "iam:AttachRolePolicy",
        "iam:CreateRole",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:PutRolePolicy",
      ]
      Resource  = local.own_roles
      Condition = { StringEquals = { "iam:PermissionsBoundary" = local.boundary_arn } }
      }, {
      Sid    = "KeepItsRoles"
      Effect = "Allow"
      Action = [
        "iam:DeleteRole",
        "iam:TagRole",
        "iam:UntagRole",
        "iam:UpdateAssumeRolePolicy",
        "iam:UpdateRole",
        "iam:UpdateRoleDescription",
      ]
      Resource = local.own_roles
      }, {
      Sid      = "HandItsRolesToTheServicesThatUseThem"
      Effect   = "Allow"
      Action   = "iam:PassRole"
      Resource = local.own_roles
      Condition = {
        StringEquals = {
          "iam:PassedToService" = [
            "eks-fargate-pods.amazonaws.com",
            "eks.amazonaws.com",
            "monitoring.rds.amazonaws.com",
            "vpc-flow-logs.amazonaws.com",
          ]
        }
      }
      }, {
      Sid    = "KeepTheClustersIssuer"
      Effect = "Allow"
      Action = [
        "iam:AddClientIDToOpenIDConnectProvider",
        "iam:CreateOpenIDConnectProvider",
        "iam:DeleteOpenIDConnectProvider",
        "iam:RemoveClientIDFromOpenIDConnectProvider",
        "iam:TagOpenIDConnectProvider",
        "iam:UntagOpenIDConnectProvider",
        "iam:UpdateOpenIDConnectProviderThumbprint",
      ]
      Resource = "arn:aws:iam::${var.account_id}:oidc-provider/oidc.eks.*.amazonaws.com/id/*"
      }, {
      Sid       = "NeverWidenItself"
      Effect    = "Deny"
      NotAction = ["iam:Get*", "iam:List*"]
      Resource = [
        aws_iam_role.plan.arn,
        aws_iam_role.deploy.arn,
        aws_iam_policy.boundary.arn,
        local.provider_arn,
      ]
    }]
  })
}

# The permissions boundary of all other roles of the environment: what EKS, Fargate, RDS, flow logs, the load balancer
# controller and the shop need. In IAM it allows only the service-linked roles of AWS.
resource "aws_iam_policy" "boundary" {
  # checkov:skip=CKV_AWS_286:A boundary grants nothing; it limits what the roles' policies grant.
  # checkov:skip=CKV_AWS_287:A boundary grants nothing; it limits what the roles' policies grant.
  # checkov:skip=CKV_AWS_288:A boundary grants nothing; it limits what the roles' policies grant.
  # checkov:skip=CKV_AWS_289:A boundary grants nothing; it limits what the roles' policies grant.
  # checkov:skip=CKV_AWS_290:A boundary grants nothing; it limits what the roles' policies grant.
  # checkov:skip=CKV_AWS_355:A boundary grants nothing; it limits what the roles' policies grant.
  name        = "${var.name}-boundary"
  description = "The most that a role of ${var.name} may do"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "acm:Describe*",
        "acm:List*",
        "autoscaling:*",
        "cloudwatch:*",
        "ec2:*",
        "ecr:*",
        "elasticloadbalancing:*",
        "iam:CreateServiceLinkedRole",
        "iam:Get*",
        "iam:List*",
        "kms:*",
        "logs:*",
        "s3:*",
        "secretsmanager:*",
        "ses:Send*",
        "shield:Get*",
        "sts:GetCallerIdentity",
        "waf-regional:Get*",
        "wafv2:Get*",
      ]
      Resource = "*"
    }]
  })
}
