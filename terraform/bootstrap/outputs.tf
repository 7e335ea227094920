output "state_bucket" {
  description = "The bucket of the state: what terraform init takes as -backend-config=bucket=…"
  value       = aws_s3_bucket.state.bucket
}

output "state_region" {
  description = "The bucket's region: what terraform init takes as -backend-config=region=…"
  value       = var.region
}
