output "cluster_name" {
  description = "The cluster's name."
  value       = aws_eks_cluster.this.name
}

output "pod_security_group_id" {
  description = "Security group of the cluster, created by EKS; all pods on Fargate belong to it."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "app_role_arn" {
  description = "Role of the shop's service account."
  value       = aws_iam_role.app.arn
}

output "load_balancer_controller_role_arn" {
  description = "Role of the AWS Load Balancer Controller's service account."
  value       = aws_iam_role.load_balancer_controller.arn
}

output "fargate_subnet_ids" {
  description = "Subnets of the pods."
  value       = distinct(flatten([for profile in aws_eks_fargate_profile.this : tolist(profile.subnet_ids)]))
}

output "fargate_namespaces" {
  description = "Namespaces with a Fargate profile; pods in others stay pending."
  value       = sort(flatten([for profile in aws_eks_fargate_profile.this : [for selector in profile.selector : selector.namespace]]))
}
