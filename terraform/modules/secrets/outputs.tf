output "app_secret_arn" {
  description = "The secret with SECRET_KEY and METRICS_TOKEN."
  value       = aws_secretsmanager_secret.app.arn
}
