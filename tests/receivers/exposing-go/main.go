// SPDX-License-Identifier: Apache-2.0

// exposing-go PORT: a program with Go's official client library, and a metric of each
// type.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	orders := promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "shop_orders_total", Help: "Orders, by kind."}, []string{"kind"})
	orders.WithLabelValues(`with "quotes" and \`).Add(3)
	orders.WithLabelValues("plain").(prometheus.ExemplarAdder).AddWithExemplar(
		1.5, prometheus.Labels{"trace_id": "abc"})
	promauto.NewGauge(prometheus.GaugeOpts{
		Name: "shop_open", Help: "Whether it is open."}).Set(1)
	wait := promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "shop_wait_seconds", Help: "How long a customer waits.",
		Buckets: []float64{0.1, 1, 10}})
	size := promauto.NewSummary(prometheus.SummaryOpts{
		Name: "shop_size_bytes", Help: "Of an order.",
		Objectives: map[float64]float64{0.5: 0.05, 0.99: 0.001}})
	for _, value := range []float64{0.05, 0.5, 5, 50} {
		wait.Observe(value)
		size.Observe(value * 1000)
	}
	http.Handle("/metrics", promhttp.HandlerFor(prometheus.DefaultGatherer,
		promhttp.HandlerOpts{EnableOpenMetrics: true}))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
