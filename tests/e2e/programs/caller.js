// SPDX-License-Identifier: Apache-2.0
// node caller.js URL COUNT: that many requests, one after the other, keep-alive.
const http = require("http");

const [url, count] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(left) {
	if (!left) {
		agent.destroy();
		return;
	}
	http.get(url, { agent }, (response) => {
		response.resume();
		response.on("end", () => call(left - 1));
	});
}
call(Number(count));
