output "plan_role_arn" {
  description = "The role that a pull request's plan takes."
  value       = aws_iam_role.plan.arn
}

output "deploy_role_arn" {
  description = "The role that a deployment takes."
  value       = aws_iam_role.deploy.arn
}

output "permissions_boundary_arn" {
  description = "The policy that bounds every other role of the environment."
  value       = aws_iam_policy.boundary.arn
}
