// SPDX-License-Identifier: Apache-2.0
// node hello.js PORT: answers every path but /missing.
const http = require("http");

http.createServer((request, response) => {
	request.resume();
	request.on("end", () => {
		response.statusCode = request.url === "/missing" ? 404 : 200;
		// no length: Node sends chunks
		response.write("hello ");
		response.end("world\n");
	});
}).listen(Number(process.argv[2]), "127.0.0.1");
