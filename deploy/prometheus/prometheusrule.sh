#!/usr/bin/env bash
# Prints the alerts as an object of the Prometheus Operator: deploy/prometheus/prometheusrule.sh | kubectl apply -f -
set -euo pipefail
cat <<'OBJECT'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: apig-proxy
  labels: {app.kubernetes.io/name: apig-proxy}
spec:
OBJECT
sed 's/^/  /' "$(dirname "$0")/alerts.yaml"
