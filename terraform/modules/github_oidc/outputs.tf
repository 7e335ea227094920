output "plan_role_arn" {
  description = "Role that plans of pull requests assume."
  value       = aws_iam_role.plan.arn
}

output "deploy_role_arn" {
  description = "Role that deployments assume."
  value       = aws_iam_role.deploy.arn
}

output "permissions_boundary_arn" {
  description = "Permissions boundary of all other roles of the environment."
  value       = aws_iam_policy.boundary.arn
}
