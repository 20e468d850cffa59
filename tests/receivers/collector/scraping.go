// SPDX-License-Identifier: Apache-2.0

//go:build scraping

package main

import "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver"

// Prometheus' own scraper, and with it Kubernetes' client: twenty times as much to
// compile as all the rest.
func init() {
	receivers = append(receivers, prometheusreceiver.NewFactory())
}
