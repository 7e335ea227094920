output "cluster_name" {
  description = "The cluster's name."
  value       = aws_eks_cluster.this.name
}

output "pod_security_group_id" {
  description = "The security group that EKS made for the cluster, which every pod on Fargate carries."
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
  description = "The subnets that pods run in."
  value       = distinct(flatten([for profile in aws_eks_fargate_profile.this : tolist(profile.subnet_ids)]))
}

output "fargate_namespaces" {
  description = "The namespaces that pods run in; a pod of another one stays pending."
  value       = sort(flatten([for profile in aws_eks_fargate_profile.this : [for selector in profile.selector : selector.namespace]]))
}
