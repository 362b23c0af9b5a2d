#!/bin/sh
# Tests the alerts with promtool, and that each has a case in which it fires and one in which it does not.
here=$(cd "${0%/*}" && pwd)
rules=$here/../../deploy/prometheus/alerts.yaml
cases=$here/alerts.test.yaml
if ! command -v promtool >/dev/null; then
  echo "promtool is missing: install the packages of deploy/packages.txt (prometheus)" >&2
  exit 1
fi
bad=0
alerts=$(sed -n 's/^ *- alert: //p' "$rules")
[ -n "$alerts" ] || { echo "there are no alerts in $rules"; exit 1; }
for alert in $alerts; do
  grep -q "alertname: $alert\$" "$cases" || { echo "$alert: no case in which it fires"; bad=1; }
  grep -q "alertname: $alert, exp_alerts: \[\]}" "$cases" || { echo "$alert: no case in which it does not fire"; bad=1; }
done
promtool check rules "$rules" || bad=1
promtool test rules "$cases" || bad=1
exit $bad
