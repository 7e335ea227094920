# Permissions of programs in pods. A pod authenticates with a token of its service account; only the named account in
# the named namespace may assume the role.

locals {
  issuer = replace(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://", "")

  service_accounts = {
    app                      = "system:serviceaccount:${var.namespace}:${var.service_account}"
    load_balancer_controller = "system:serviceaccount:kube-system:aws-load-balancer-controller"
  }

  trust = {
    for name, subject in local.service_accounts : name => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = aws_iam_openid_connect_provider.pods.arn }
        Condition = {
          StringEquals = {
            "${local.issuer}:sub" = subject
            "${local.issuer}:aud" = "sts.amazonaws.com"
          }
        }
      }]
    })
  }
}

resource "aws_iam_role" "app" {
  name                 = "${var.name}-app"
  description          = "What the shop's pods may do"
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy   = local.trust["app"]
}

resource "aws_iam_role_policy" "app" {
  name = "shop"
  role = aws_iam_role.app.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ReadItsSecrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
      Resource = var.app_secret_arns
      }, {
      Sid      = "KeepCovers"
      Effect   = "Allow"
      Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      Resource = "${var.media_bucket_arn}/*"
      }, {
      # Without it, S3 returns 403 instead of 404 for a missing cover.
      Sid      = "SeeWhetherACoverIsThere"
      Effect   = "Allow"
      Action   = "s3:ListBucket"
      Resource = var.media_bucket_arn
      }, {
      Sid       = "SendMailFromItsOwnAddress"
      Effect    = "Allow"
      Action    = ["ses:SendEmail", "ses:SendRawEmail"]
      Resource  = [for kind in ["configuration-set", "identity"] : "arn:aws:ses:${var.region}:${var.account_id}:${kind}/*"]
      Condition = { StringEquals = { "ses:FromAddress" = var.mail_from } }
    }]
  })
}

resource "aws_iam_role" "load_balancer_controller" {
  name                 = "${var.name}-load-balancer-controller"
  description          = "Lets the AWS Load Balancer Controller make the shop's load balancer"
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy   = local.trust["load_balancer_controller"]
}

# The controller tags everything that it creates with the cluster's name. It may change and delete only resources with
# that tag, so that it cannot affect load balancers of other clusters in the account.
resource "aws_iam_role_policy" "load_balancer_controller" {
  name = "load-balancers"
  role = aws_iam_role.load_balancer_controller.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "Look"
      Effect = "Allow"
      Action = [
        "acm:DescribeCertificate",
        "acm:ListCertificates",
        "ec2:DescribeAccountAttributes",
        "ec2:DescribeAddresses",
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeInstances",
        "ec2:DescribeInternetGateways",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeTags",
        "ec2:DescribeVpcPeeringConnections",
        "ec2:DescribeVpcs",
        "ec2:GetSecurityGroupsForVpc",
        "elasticloadbalancing:DescribeCapacityReservation",
        "elasticloadbalancing:DescribeListenerAttributes",
        "elasticloadbalancing:DescribeListenerCertificates",
        "elasticloadbalancing:DescribeListeners",
        "elasticloadbalancing:DescribeLoadBalancerAttributes",
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeRules",
        "elasticloadbalancing:DescribeSSLPolicies",
        "elasticloadbalancing:DescribeTags",
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeTrustStores",
        "shield:GetSubscriptionState",
        "waf-regional:GetWebACLForResource",
        "wafv2:GetWebACLForResource",
      ]
      Resource = "*"
      }, {
      Sid       = "LetAwsMakeItsOwnRoleOnce"
      Effect    = "Allow"
      Action    = "iam:CreateServiceLinkedRole"
      Resource  = "arn:aws:iam::${var.account_id}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*"
      Condition = { StringEquals = { "iam:AWSServiceName" = "elasticloadbalancing.amazonaws.com" } }
      }, {
      Sid      = "MakeSecurityGroupsInThisVpc"
      Effect   = "Allow"
      Action   = "ec2:CreateSecurityGroup"
      Resource = "arn:aws:ec2:${var.region}:${var.account_id}:vpc/${var.vpc_id}"
      }, {
      Sid       = "MakeSecurityGroupsWithTheMark"
      Effect    = "Allow"
      Action    = "ec2:CreateSecurityGroup"
      Resource  = local.security_groups
      Condition = local.request_marked
      }, {
      Sid      = "MarkSecurityGroupsWhenMadeOnly"
      Effect   = "Allow"
      Action   = "ec2:CreateTags"
      Resource = local.security_groups
      Condition = {
        StringEquals = merge(local.request_marked.StringEquals, { "ec2:CreateAction" = "CreateSecurityGroup" })
      }
      }, {
      Sid       = "TagMarkedSecurityGroups"
      Effect    = "Allow"
      Action    = ["ec2:CreateTags", "ec2:DeleteTags"]
      Resource  = local.security_groups
      Condition = merge(local.resource_marked, local.mark_untouched)
      }, {
      # The condition is the VPC, not the tag: the controller must also open the cluster's security group to the load
      # balancer, which EKS creates without the tag.
      Sid       = "OpenAndCloseThisVpcsGroups"
      Effect    = "Allow"
      Action    = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
      Resource  = local.security_groups
      Condition = { ArnEquals = { "ec2:Vpc" = "arn:aws:ec2:${var.region}:${var.account_id}:vpc/${var.vpc_id}" } }
      }, {
      Sid       = "DeleteMarkedSecurityGroups"
      Effect    = "Allow"
      Action    = "ec2:DeleteSecurityGroup"
      Resource  = local.security_groups
      Condition = local.resource_marked
      }, {
      Sid       = "MakeLoadBalancersWithTheMark"
      Effect    = "Allow"
      Action    = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
      Resource  = "*"
      Condition = local.request_marked
      }, {
      Sid      = "MarkLoadBalancersWhenMade"
      Effect   = "Allow"
      Action   = "elasticloadbalancing:AddTags"
      Resource = "*"
      Condition = {
        StringEquals = merge(local.request_marked.StringEquals, {
          "elasticloadbalancing:CreateAction" = ["CreateListener", "CreateLoadBalancer", "CreateRule", "CreateTargetGroup"]
        })
      }
      }, {
      Sid       = "TagMarkedLoadBalancers"
      Effect    = "Allow"
      Action    = ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]
      Resource  = "*"
      Condition = merge(local.resource_marked, local.mark_untouched)
      }, {
      Sid    = "ChangeMarkedLoadBalancers"
      Effect = "Allow"
      Action = [
        "elasticloadbalancing:AddListenerCertificates",
        "elasticloadbalancing:CreateListener",
        "elasticloadbalancing:CreateRule",
        "elasticloadbalancing:DeleteListener",
        "elasticloadbalancing:DeleteLoadBalancer",
        "elasticloadbalancing:DeleteRule",
        "elasticloadbalancing:DeleteTargetGroup",
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:ModifyListener",
        "elasticloadbalancing:ModifyListenerAttributes",
        "elasticloadbalancing:ModifyLoadBalancerAttributes",
        "elasticloadbalancing:ModifyRule",
        "elasticloadbalancing:ModifyTargetGroup",
        "elasticloadbalancing:ModifyTargetGroupAttributes",
        "elasticloadbalancing:RegisterTargets",
        "elasticloadbalancing:RemoveListenerCertificates",
        "elasticloadbalancing:SetIpAddressType",
        "elasticloadbalancing:SetRulePriorities",
        "elasticloadbalancing:SetSecurityGroups",
        "elasticloadbalancing:SetSubnets",
      ]
      Resource  = "*"
      Condition = local.resource_marked
    }]
  })
}

locals {
  security_groups = "arn:aws:ec2:${var.region}:${var.account_id}:security-group/*"
  request_marked  = { StringEquals = { "aws:RequestTag/elbv2.k8s.aws/cluster" = var.name } }
  resource_marked = { StringEquals = { "aws:ResourceTag/elbv2.k8s.aws/cluster" = var.name } }
  mark_untouched  = { Null = { "aws:RequestTag/elbv2.k8s.aws/cluster" = "true" } }
}
