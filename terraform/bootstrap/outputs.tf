output "state_bucket" {
  description = "Bucket of the state, for terraform init -backend-config=bucket=…"
  value       = aws_s3_bucket.state.bucket
}

output "state_region" {
  description = "Region of the bucket, for terraform init -backend-config=region=…"
  value       = var.region
}
