// SPDX-License-Identifier: Apache-2.0
// main.js PORT: a program with Node's client library, and a metric of each type.
'use strict';

const http = require('http');
const client = require('prom-client');

client.collectDefaultMetrics();
const orders = new client.Counter(
  {name: 'shop_orders_total', help: 'Orders, by kind.', labelNames: ['kind']});
orders.inc({kind: 'with "quotes" and \\'}, 3);
orders.inc({kind: 'plain'}, 1.5);
new client.Gauge({name: 'shop_open', help: 'Whether it is open.'}).set(1);
const wait = new client.Histogram(
  {name: 'shop_wait_seconds', help: 'How long a customer waits.', buckets: [0.1, 1, 10]});
const size = new client.Summary({name: 'shop_size_bytes', help: 'Of an order.'});
for (const value of [0.05, 0.5, 5, 50]) {
  wait.observe(value);
  size.observe(value * 1000);
}
http.createServer(async (request, response) => {
  const body = await client.register.metrics();
  response.setHeader('Content-Type', client.register.contentType);
  response.end(body);
}).listen(Number(process.argv[2]), '127.0.0.1');
