# Permissions of Fargate itself: to pull images and ship logs. Programs in pods cannot use this role; their permissions
# are in irsa.tf.
resource "aws_iam_role" "pod_execution" {
  name                 = "${var.name}-pod-execution"
  description          = "Lets Fargate pull images and ship logs for the pods of ${var.name}"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "eks-fargate-pods.amazonaws.com" }
      Condition = {
        ArnLike = { "aws:SourceArn" = "arn:aws:eks:${var.region}:${var.account_id}:fargateprofile/${var.name}/*" }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "pod_execution" {
  role       = aws_iam_role.pod_execution.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSFargatePodExecutionRolePolicy"
}

# Terraform creates the group, so Fargate's log router only needs to create streams in it.
resource "aws_iam_role_policy" "pod_logs" {
  name = "write-logs"
  role = aws_iam_role.pod_execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = [var.log_group_arn, "${var.log_group_arn}:*"]
    }]
  })
}

resource "aws_eks_fargate_profile" "this" {
  for_each = { system = "kube-system", shop = var.namespace }

  cluster_name           = aws_eks_cluster.this.name
  fargate_profile_name   = each.value
  pod_execution_role_arn = aws_iam_role.pod_execution.arn
  subnet_ids             = var.private_subnet_ids

  selector {
    namespace = each.value
  }

  depends_on = [aws_iam_role_policy_attachment.pod_execution]
}

# Without nodes, CoreDNS stays pending unless it is configured for Fargate and the profile of its namespace exists
# first.
resource "aws_eks_addon" "coredns" {
  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = "coredns"
  addon_version               = var.addon_versions.coredns
  configuration_values        = jsonencode({ computeType = "Fargate" })
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [aws_eks_fargate_profile.this]
}

# Provides metrics to the autoscaler. It listens on port 10251, because Fargate's kubelet uses 10250. Both are open
# between pods, which share the cluster's security group.
resource "aws_eks_addon" "metrics_server" {
  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = "metrics-server"
  addon_version               = var.addon_versions.metrics_server
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [aws_eks_fargate_profile.this, aws_eks_addon.coredns]
}
