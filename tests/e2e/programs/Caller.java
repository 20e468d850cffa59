// SPDX-License-Identifier: Apache-2.0
// java Caller.java URL COUNT: that many requests by java.net.http. Its default
// asks each new connection to become HTTP/2; servers of HTTP/1 do not care.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class Caller {
	public static void main(String[] args) throws Exception {
		HttpClient client = HttpClient.newHttpClient();
		HttpRequest request = HttpRequest.newBuilder(URI.create(args[0])).build();
		for (int i = 0; i < Integer.parseInt(args[1]); i++)
			client.send(request, BodyHandlers.ofString());
	}
}
