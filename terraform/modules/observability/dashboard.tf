locals {
  # Graphs of the load balancer are added when it exists; until then a text says that it is missing.
  web_graphs = {
    "Requests and server errors" = {
      stat    = "Sum"
      metrics = [for metric in ["RequestCount", "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"] : ["AWS/ApplicationELB", metric, "LoadBalancer", local.load_balancer]]
    }
    "Response time of 95 in 100 answers, seconds" = {
      stat    = "p95"
      metrics = [["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", local.load_balancer]]
    }
    "Pods behind the load balancer" = {
      stat = "Maximum"
      metrics = [for pair in setproduct(["HealthyHostCount", "UnHealthyHostCount"], local.watched_groups) :
        ["AWS/ApplicationELB", pair[0], "TargetGroup", pair[1], "LoadBalancer", local.load_balancer]
      ]
    }
  }

  # Graphs of the load balancer are added when it exists; until then a text says that it is missing.
  web_widgets = [for title, graph in local.web_graphs : {
    type   = "metric"
    width  = 8
    height = 6
    properties = {
      title   = title
      region  = var.region
      stat    = graph.stat
      period  = 60
      metrics = graph.metrics
    }
  } if local.load_balancer != null]

  text_widgets = [for text in ["No load balancer yet: after the first deployment, apply Terraform again."] : {
    type       = "text"
    width      = 24
    height     = 2
    properties = { markdown = text }
  } if local.load_balancer == null]

  database_widgets = [for title, metric in {
    "Database: processor, percent" = "CPUUtilization"
    "Database: free memory, bytes" = "FreeableMemory"
    "Database: free disk, bytes"   = "FreeStorageSpace"
    "Database: connections"        = "DatabaseConnections"
    } : {
    type   = "metric"
    width  = 6
    height = 6
    properties = {
      title   = title
      region  = var.region
      stat    = "Average"
      period  = 60
      metrics = [["AWS/RDS", metric, "DBInstanceIdentifier", var.database_instance_id]]
    }
  }]

  log_widget = {
    type   = "log"
    width  = 24
    height = 6
    properties = {
      title  = "The shop's last errors"
      region = var.region
      view   = "table"
      query  = "SOURCE '${aws_cloudwatch_log_group.app.name}' | fields @timestamp, @message | filter @message like /ERROR|CRITICAL/ | sort @timestamp desc | limit 50"
    }
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = concat(local.text_widgets, local.web_widgets, local.database_widgets, [local.log_widget]) })
}
