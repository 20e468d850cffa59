// SPDX-License-Identifier: Apache-2.0
// java Greeter.java PORT: /hello with a length, /stream in chunks.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class Greeter {
	static final byte[] BODY = "hello world\n".getBytes();

	static void answer(HttpExchange exchange, long length) throws IOException {
		exchange.getRequestBody().readAllBytes();
		exchange.sendResponseHeaders(200, length);
		try (OutputStream out = exchange.getResponseBody()) {
			out.write(BODY);
		}
	}

	public static void main(String[] args) throws IOException {
		int port = Integer.parseInt(args[0]);
		HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 64);
		server.createContext("/hello", exchange -> answer(exchange, BODY.length));
		server.createContext("/stream", exchange -> answer(exchange, 0));
		server.setExecutor(Executors.newFixedThreadPool(4));
		server.start();
	}
}
