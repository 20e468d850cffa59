/* SPDX-License-Identifier: Apache-2.0 */
/* Where messages begin and end, decided on real sockets: each conversation is
 * played whole, cut at every byte, one byte at a time, over every transport. */
#include "talk.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: example.com\r\n\r\n"
#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define LOOKS_LIKE_A_REQUEST                                                           \
	"GET /fake HTTP/1.1\r\nHost: fake\r\nContent-Length: 3\r\n\r\n" /* 53 */
#define LOOKS_LIKE_A_RESPONSE                                                          \
	"HTTP/1.1 500 Fake\r\nContent-Length: 77777\r\n\r\n" /* 44 */

_Static_assert(sizeof(LOOKS_LIKE_A_REQUEST) - 1 == 53, "used as a length below");
_Static_assert(sizeof(LOOKS_LIKE_A_RESPONSE) - 1 == 44, "used as a length below");

/* Half a kilobyte at most each: they are cut at every byte. */
#define DIGITS                                                                         \
	"0000000000000000000000000000000000000000000000000000000000000000000000000000" \
	"00"

static const struct talk talks[] = {
    TALK("a plain exchange", TURNS(C(GET("/plain")), S(OK_HELLO)),
	 ROWS(ROW(GET, 200, "/plain", 0, 5))),
    TALK("a minimal request", TURNS(C("GET / HTTP/1.1\r\n\r\n"), S(OK_HELLO)),
	 ROWS(ROW(GET, 200, "/", 0, 5))),
    TALK("a request of 100 bytes",
	 TURNS(C("GET /hundred HTTP/1.1\r\nHost: example.com\r\nUser-Agent: a/1.0\r\n"
		 "Accept: */*\r\nX-Filler: abcdefghi\r\n\r\n"),
	       S(OK_HELLO)),
	 ROWS(ROW(GET, 200, "/hundred", 0, 5))),
    TALK(
	"a body that looks like a request",
	TURNS(
	    C("POST /real HTTP/1.1\r\nContent-Length: 53\r\n\r\n" LOOKS_LIKE_A_REQUEST),
	    S(OK_HELLO)),
	ROWS(ROW(POST, 200, "/real", 53, 5))),
    TALK(
	"a body that looks like a response",
	TURNS(
	    C(GET("/real")),
	    S("HTTP/1.1 201 Made\r\nContent-Length: 44\r\n\r\n" LOOKS_LIKE_A_RESPONSE)),
	ROWS(ROW(GET, 201, "/real", 0, 44))),
    TALK("chunks both ways with extensions and trailers",
	 TURNS(C("PUT /chunks HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "5;name=value\r\nhello\r\n1a ; quoted=\"x;y\"\r\n"
		 "abcdefghijklmnopqrstuvwxyz\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "0000B\r\nhello world\r\n000\r\nTrailer: yes\r\n\r\n")),
	 ROWS(ROW(PUT, 200, "/chunks", 31, 11))),
    TALK("chunks that look like messages",
	 TURNS(C("POST /chunks HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "35\r\n" LOOKS_LIKE_A_REQUEST "\r\n0\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "2C\r\n" LOOKS_LIKE_A_RESPONSE "\r\n0\r\n\r\n")),
	 ROWS(ROW(POST, 200, "/chunks", 53, 44))),
    TALK("an empty chunked body both ways",
	 TURNS(C("POST /none HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
	 ROWS(ROW(POST, 200, "/none", 0, 0))),
    TALK("a Content-Length of zero",
	 TURNS(C("POST /zero HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
	 ROWS(ROW(POST, 200, "/zero", 0, 0))),
    TALK("HEAD announces a body that does not come",
	 TURNS(C("HEAD /head HTTP/1.1\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), C(GET("/after")),
	       S(OK_HELLO)),
	 ROWS(ROW(HEAD, 200, "/head", 0, 0), ROW(GET, 200, "/after", 0, 5))),
    TALK("HEAD announces chunks that do not come",
	 TURNS(C("HEAD /head HTTP/1.1\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
	       C(GET("/after")), S(OK_HELLO)),
	 ROWS(ROW(HEAD, 200, "/head", 0, 0), ROW(GET, 200, "/after", 0, 5))),
    TALK("204 has no body whatever it says",
	 TURNS(C("DELETE /gone HTTP/1.1\r\n\r\n"),
	       S("HTTP/1.1 204 No Content\r\nContent-Length: 12\r\n\r\n"),
	       C(GET("/after")), S(OK_HELLO)),
	 ROWS(ROW(DELETE, 204, "/gone", 0, 0), ROW(GET, 200, "/after", 0, 5))),
    TALK("304 has no body whatever it says",
	 TURNS(C(GET("/same")),
	       S("HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n"),
	       C(GET("/after")), S(OK_HELLO)),
	 ROWS(ROW(GET, 304, "/same", 0, 0), ROW(GET, 200, "/after", 0, 5))),
    TALK("204 and 304 without any length",
	 TURNS(C(GET("/same")), S("HTTP/1.1 304 Not Modified\r\n\r\n"),
	       C("PUT /put HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"),
	       S("HTTP/1.1 204 No Content\r\n\r\n")),
	 ROWS(ROW(GET, 304, "/same", 0, 0), ROW(PUT, 204, "/put", 2, 0))),
    TALK("Expect: 100-continue",
	 TURNS(C("POST /expect HTTP/1.1\r\nExpect: 100-continue\r\n"
		 "Content-Length: 4\r\n\r\n"),
	       S("HTTP/1.1 100 Continue\r\n\r\n"), C("body"), S(OK_HELLO)),
	 ROWS(ROW(POST, 200, "/expect", 4, 5))),
    TALK("Expect: 100-continue that is refused",
	 TURNS(C("POST /expect HTTP/1.1\r\nExpect: 100-continue\r\n"
		 "Content-Length: 4\r\n\r\n"),
	       S("HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
	       S_CLOSES),
	 ROWS(ROW(POST, 417, "/expect", 0, 0)), .once = true),
    TALK("several interim responses",
	 TURNS(C(GET("/interim")), S("HTTP/1.1 102 Processing\r\nX: y\r\n\r\n"),
	       S("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" OK_HELLO)),
	 ROWS(ROW(GET, 200, "/interim", 0, 5))),
    TALK("two pipelined requests with bodies",
	 TURNS(C("POST /one HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
		 "POST /two HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "4\r\nabcd\r\n0\r\n\r\n"),
	       S(OK_HELLO "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
			  "2\r\nno\r\n0\r\n\r\n")),
	 ROWS(ROW(POST, 200, "/one", 3, 5), ROW(POST, 404, "/two", 4, 2))),
    TALK("HEAD, 204 and GET pipelined",
	 TURNS(C("HEAD /a HTTP/1.1\r\n\r\n" GET("/b") GET("/c")),
	       S("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
		 "HTTP/1.1 204 No Content\r\n\r\n" OK_HELLO)),
	 ROWS(ROW(HEAD, 200, "/a", 0, 0), ROW(GET, 204, "/b", 0, 0),
	      ROW(GET, 200, "/c", 0, 5))),
    TALK("lines that end in LF alone",
	 TURNS(C("POST /lf HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc"),
	       S("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"), C(GET("/after")),
	       S(OK_HELLO)),
	 ROWS(ROW(POST, 200, "/lf", 3, 5), ROW(GET, 200, "/after", 0, 5))),
    TALK("LF alone around chunks",
	 TURNS(C("POST /lf HTTP/1.1\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n"),
	       S("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"
		 "5\nhello\n0\nA: b\n\n")),
	 ROWS(ROW(POST, 200, "/lf", 3, 5))),
    TALK("an empty line before a request line",
	 TURNS(C("\r\n" GET("/late")), S(OK_HELLO), C("\r\n\r\n" GET("/later")),
	       S(OK_HELLO)),
	 ROWS(ROW(GET, 200, "/late", 0, 5), ROW(GET, 200, "/later", 0, 5))),
    TALK("an empty line after a body, as old browsers sent",
	 TURNS(C("POST /old HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\n"), S(OK_HELLO),
	       C(GET("/after")), S(OK_HELLO)),
	 ROWS(ROW(POST, 200, "/old", 3, 5), ROW(GET, 200, "/after", 0, 5))),
    TALK("header names in any case, values in any white space",
	 TURNS(C("POST /case HTTP/1.1\r\nCONTENT-LENGTH:3\r\n\r\nabc"),
	       S("HTTP/1.1 200 OK\r\ncontent-length: \t 5 \t\r\n\r\nhello"),
	       C("POST /case HTTP/1.1\r\ntransfer-ENCODING:\tCHUNKED  \r\n\r\n"
		 "3\r\nabc\r\n0\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nTRANSFER-encoding:Chunked\r\n\r\n"
		 "5\r\nhello\r\n0\r\n\r\n")),
	 ROWS({.method = TALLY_METHOD_POST,
	       .status = 200,
	       .route = "/case",
	       .requests = 2,
	       .request_bytes = 6,
	       .response_bytes = 10})),
    TALK(
	"names and values that only resemble those of framing",
	TURNS(
	    C("POST /like HTTP/1.1\r\nX-Content-Length: 99\r\nContent-Length-X: 98\r\n"
	      "Note: Content-Length: 97\r\nContent-Length: 3\r\nX: chunked\r\n\r\nabc"),
	    S("HTTP/1.1 200 Content-Length: 96\r\nXTransfer-Encoding: chunked\r\n"
	      "Content-Length: 5\r\n\r\nhello")),
	ROWS(ROW(POST, 200, "/like", 3, 5))),
    TALK(
	"a Content-Length said twice alike",
	TURNS(C("POST /twice HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"
		"abc"),
	      S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"
		"hello")),
	ROWS(ROW(POST, 200, "/twice", 3, 5))),
    TALK("a Content-Length that is a list of one value",
	 TURNS(C(GET("/list")),
	       S("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello")),
	 ROWS(ROW(GET, 200, "/list", 0, 5))),
    TALK("Transfer-Encoding overrides Content-Length",
	 TURNS(C("POST /both HTTP/1.1\r\nContent-Length: 3\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
		 "Content-Length: 2\r\n\r\n6\r\nhello!\r\n0\r\n\r\n")),
	 ROWS(ROW(POST, 200, "/both", 4, 6))),
    TALK("codings in a list, the last of them chunked",
	 TURNS(C(GET("/list")),
	       S("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
		 "5\r\nhello\r\n0\r\n\r\n"),
	       C(GET("/lines")),
	       S("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")),
	 ROWS(ROW(GET, 200, "/list", 0, 5), ROW(GET, 200, "/lines", 0, 5))),
    TALK("status lines without a reason",
	 TURNS(C(GET("/space")), S("HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello"),
	       C(GET("/none")), S("HTTP/1.1 500\r\nContent-Length: 5\r\n\r\nhello")),
	 ROWS(ROW(GET, 200, "/space", 0, 5), ROW(GET, 500, "/none", 0, 5))),
    TALK("a method of no one's list",
	 TURNS(C("PROPFIND /dav HTTP/1.1\r\nDepth: 1\r\nContent-Length: 3\r\n\r\nabc"),
	       S("HTTP/1.1 207 Multi-Status\r\nContent-Length: 5\r\n\r\nhello")),
	 ROWS(ROW(OTHER, 207, "/dav", 3, 5))),
    TALK("a target in absolute form",
	 TURNS(C("GET http://example.com/abs?q=1 HTTP/1.1\r\n\r\n"), S(OK_HELLO),
	       C("GET http://example.com HTTP/1.1\r\n\r\n"), S(OK_HELLO)),
	 ROWS(ROW(GET, 200, "/abs", 0, 5), ROW(GET, 200, "/", 0, 5))),
    TALK("OPTIONS *",
	 TURNS(C("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
	 ROWS(ROW(OPTIONS, 200, "*", 0, 0))),
    TALK("HTTP/1.0 kept alive",
	 TURNS(C("GET /ten HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
	       S("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
		 "Content-Length: 5\r\n\r\nhello")),
	 ROWS(ROW(GET, 200, "/ten", 0, 5))),
    TALK("a body until close that looks like a response",
	 TURNS(C("GET /until HTTP/1.0\r\n\r\n"),
	       S("HTTP/1.0 200 OK\r\n\r\n" LOOKS_LIKE_A_RESPONSE), S_CLOSES),
	 ROWS(ROW(GET, 200, "/until", 0, 44)), .once = true),
    TALK("a body until close in HTTP/1.1",
	 TURNS(C(GET("/until")), S("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"),
	       S_CLOSES),
	 ROWS(ROW(GET, 200, "/until", 0, 5)), .once = true),
    TALK("an empty body until close",
	 TURNS(C(GET("/until")), S("HTTP/1.1 200 OK\r\n\r\n"), S_CLOSES),
	 ROWS(ROW(GET, 200, "/until", 0, 0)), .once = true),
    TALK("a coding that is not chunked ends with the connection",
	 TURNS(C(GET("/gzip")),
	       S("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"), S_CLOSES),
	 ROWS(ROW(GET, 200, "/gzip", 0, 5)), .once = true),
    TALK(
	"a length and then a close",
	TURNS(
	    C(GET("/close")),
	    S("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"),
	    S_CLOSES),
	ROWS(ROW(GET, 200, "/close", 0, 5)), .once = true),
    TALK("a client that closes its half and still reads",
	 TURNS(C(GET("/half")), C_SHUTS, S(OK_HELLO), S_CLOSES),
	 ROWS(ROW(GET, 200, "/half", 0, 5)), .once = true),
    TALK("an upgrade is counted once and then left alone",
	 TURNS(C("GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: "
		 "websocket\r\n\r\n"),
	       S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
	       C("\x81\x85\x01\x02\x03\x04" LOOKS_LIKE_A_REQUEST), S("\x81\x05hello"),
	       S(LOOKS_LIKE_A_RESPONSE), C(GET("/fake")), S(OK_HELLO)),
	 ROWS(ROW(GET, 101, "/chat", 0, 0)), .once = true),
    TALK("an upgrade that is refused stays HTTP",
	 TURNS(C("GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: "
		 "websocket\r\n\r\n"),
	       S(OK_HELLO), C(GET("/after")), S(OK_HELLO)),
	 ROWS(ROW(GET, 200, "/chat", 0, 5), ROW(GET, 200, "/after", 0, 5))),
    TALK("CONNECT that is refused stays HTTP",
	 TURNS(C("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"),
	       S("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"), C(GET("/after")),
	       S(OK_HELLO)),
	 ROWS({.method = TALLY_METHOD_CONNECT,
	       .status = 403,
	       .route = "",
	       .requests = 1,
	       .response_bytes = 2},
	      ROW(GET, 200, "/after", 0, 5))),
    TALK("CONNECT that is granted becomes a tunnel",
	 TURNS(C("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"),
	       S("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"),
	       C("\x16\x03\x01\x02"), S(LOOKS_LIKE_A_RESPONSE), C(GET("/fake")),
	       S(OK_HELLO)),
	 ROWS(ROW(CONNECT, 200, "", 0, 0)), .missed = MISSES({TALLY_MISSED_TLS, 2}),
	 .once = true),
    TALK("an upgrade to HTTP/2 is in the ledger",
	 TURNS(C("GET /up HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
	       S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
	       S("\x01\x01\x01\x04\x01"), C("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
	 ROWS(ROW(GET, 101, "/up", 0, 0)), .missed = MISSES({TALLY_MISSED_HTTP2, 2}),
	 .once = true),
    TALK("Expect: 100-continue that is refused, and the connection kept",
	 TURNS(C("PUT /put HTTP/1.1\r\nexpect: 100-continue\r\n"
		 "Content-Length: 40\r\n\r\n"),
	       S("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
	       C("PUT /put HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"), S(OK_HELLO),
	       C(GET("/after")), S(OK_HELLO)),
	 ROWS(ROW(PUT, 417, "/put", 0, 0), ROW(PUT, 200, "/put", 4, 5),
	      ROW(GET, 200, "/after", 0, 5))),
    TALK(
	"Expect: 100-continue that is refused twice, in the same words",
	TURNS(C("PUT /put HTTP/1.1\r\nexpect: 100-continue\r\n"
		"Content-Length: 40\r\n\r\n"),
	      S("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
	      C("PUT /put HTTP/1.1\r\nexpect: 100-continue\r\n"
		"Content-Length: 40\r\n\r\n"),
	      S("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"), C(GET("/after")),
	      S(OK_HELLO)),
	ROWS(
	    {.method = TALLY_METHOD_PUT, .status = 417, .route = "/put", .requests = 2},
	    ROW(GET, 200, "/after", 0, 5))),
    TALK("a chunked body that waits for 100 and is refused",
	 TURNS(C("POST /up HTTP/1.1\r\nExpect: 100-continue\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n"),
	       S("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"),
	       C(GET("/after")), S(OK_HELLO)),
	 ROWS(ROW(POST, 413, "/up", 0, 3), ROW(GET, 200, "/after", 0, 5))),
    TALK("a length too long to be one, answered, and the connection kept",
	 TURNS(
	     C("GET /bad HTTP/1.1\r\nContent-Length: " DIGITS DIGITS DIGITS "\r\n\r\n"),
	     S("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad"),
	     C(GET("/after")), S(OK_HELLO), C(GET("/after")), S(OK_HELLO)),
	 ROWS(ROW(GET, 400, "/bad", ANY_BYTES, 3), {.method = TALLY_METHOD_GET,
						    .status = 200,
						    .route = "/after",
						    .requests = 2,
						    .response_bytes = 10})),
    TALK("heads of one length, each like the last but one",
	 TURNS(C(GET("/aaabbbbabba")), S(OK_HELLO), C(GET("/aaabbbbabba")), S(OK_HELLO),
	       C(GET("/aa!bbbbcbb!")),
	       S("HTTP/1.1 404 OK\r\nContent-Length: 5\r\n\r\nhello"),
	       C(GET("/aaabbbbabba")), S(OK_HELLO), C(GET("/aa!bbbbcbb!")),
	       S("HTTP/1.1 404 OK\r\nContent-Length: 5\r\n\r\nhello")),
	 ROWS({.method = TALLY_METHOD_GET,
	       .status = 200,
	       .route = "/aaabbbbabba",
	       .requests = 3,
	       .response_bytes = 15},
	      {.method = TALLY_METHOD_GET,
	       .status = 404,
	       .route = "/aa!bbbbcbb!",
	       .requests = 2,
	       .response_bytes = 10})),
    TALK(
	"one head for HEAD and GET, one for other lengths",
	TURNS(C("HEAD /h HTTP/1.1\r\n\r\n"),
	      S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), C(GET("/h")),
	      S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
	      C("HEAD /h HTTP/1.1\r\n\r\n"),
	      S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
	      C("POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nAAAAA"), S(OK_HELLO),
	      C("POST /p HTTP/1.1\r\nContent-LengTh: 4\r\n\r\nBBBB"), S(OK_HELLO),
	      C(GET("/h")), S(OK_HELLO)),
	ROWS({.method = TALLY_METHOD_HEAD, .status = 200, .route = "/h", .requests = 2},
	     {.method = TALLY_METHOD_GET,
	      .status = 200,
	      .route = "/h",
	      .requests = 2,
	      .response_bytes = 10},
	     {.method = TALLY_METHOD_POST,
	      .status = 200,
	      .route = "/p",
	      .requests = 2,
	      .request_bytes = 9,
	      .response_bytes = 10})),
    TALK("a body both ways, three times the same",
	 TURNS(C("POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nAAAAA"), S(OK_HELLO),
	       C("POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nAAAAA"), S(OK_HELLO),
	       C("POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nBBBBB"), S(OK_HELLO)),
	 ROWS({.method = TALLY_METHOD_POST,
	       .status = 200,
	       .route = "/p",
	       .requests = 3,
	       .request_bytes = 15,
	       .response_bytes = 15})),
    TALK("absolute-form with a query and no path",
	 TURNS(C("GET http://host?token=/secret HTTP/1.1\r\n\r\n"), S(OK_HELLO),
	       C("GET ftp://user:word@host/p/q HTTP/1.1\r\n\r\n"), S(OK_HELLO)),
	 ROWS(ROW(GET, 200, "/", 0, 5), ROW(GET, 200, "/p/q", 0, 5))),
    TALK("an answer before the request is complete",
	 TURNS(C("POST /big HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello"),
	       S("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"), C("world"),
	       C(GET("/after")), S(OK_HELLO)),
	 ROWS(ROW(POST, 413, "/big", ANY_BYTES, 3), ROW(GET, 200, "/after", 0, 5))),
};

/* What a proxy says first comes whole, with or without the request behind it: cut,
 * it would be a stranger's bytes. */
#define PROXY_LINE "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n"
#define PROXY_V2                                                                       \
	"\r\n\r\n\x01\r\nQUIT\n"                                                       \
	"\x21\x11\x01\x0c"                                                             \
	"aaaabbbbccdd"

#define TALKS (sizeof(talks) / sizeof(talks[0]))

/* --- each talk in each delivery --------------------------------------------- */

static unsigned int deliver_all(struct scene *scene, const struct delivery *deliveries,
				size_t count)
{
	unsigned int failures = 0;

	for (size_t i = 0; i < TALKS; i++)
		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			failures +=
			    !talk_check(scene, transport, &talks[i], deliveries, count);
	return failures;
}

static void each_talk_is_counted_when_it_comes_whole(void **state)
{
	const struct delivery whole = {0};

	assert_int_equal(deliver_all(*state, &whole, 1), 0);
}

/* The second byte of the version 2 signature's zero and length are not text. */
static void a_proxys_preamble_is_no_request(void **state)
{
	static const char request[] = GET("/behind");
	char v2[sizeof(PROXY_V2) - 1] = PROXY_V2;
	const struct {
		const char *bytes;
		size_t len;
	} preambles[] = {{PROXY_LINE, sizeof(PROXY_LINE) - 1}, {v2, sizeof(v2)}};

	v2[4] = v2[14] = 0;
	for (size_t i = 0; i < 2; i++)
		for (int together = 0; together < 2; together++) {
			struct endpoint *endpoint = endpoint_open(*state, IPV4);
			struct pair pair = pair_open(endpoint);
			char bytes[256], got[256];
			size_t len = preambles[i].len;

			scene_mark(*state);
			memcpy(bytes, preambles[i].bytes, len);
			if (!together) {
				put(pair.fd[CLIENT], bytes, len);
				take(pair.fd[SERVER], bytes, len, 0);
				len = 0;
			}
			memcpy(bytes + len, request, sizeof(request) - 1);
			len += sizeof(request) - 1;
			put(pair.fd[CLIENT], bytes, len);
			REQUIRE(recv(pair.fd[SERVER], got, sizeof(got), 0) ==
				(ssize_t)len);
			put_text(pair.fd[SERVER], OK_HELLO);
			take_text(pair.fd[CLIENT], OK_HELLO);
			pair_close(&pair);
			assert_rows(*state, endpoint, "proxy",
				    ROWS(ROW(GET, 200, "/behind", 0, 5)));
			assert_missed(*state, "proxy", nothing_missed);
		}
}

static void each_talk_is_counted_when_repeated_on_its_connection(void **state)
{
	const struct delivery whole[20] = {0};

	assert_int_equal(deliver_all(*state, whole, 20), 0);
}

static void each_talk_is_counted_byte_by_byte(void **state)
{
	const struct delivery bytes[] = {
	    {.write_max = 1}, {.read_max = 1}, {.write_max = 7}, {.read_max = 3}};

	assert_int_equal(deliver_all(*state, bytes, 4), 0);
}

static unsigned int deliver_cut(struct scene *scene, const struct talk *talk, bool late)
{
	size_t bytes = talk_bytes(talk), count = bytes - 1;
	struct delivery *cuts = calloc(bytes, sizeof(*cuts));
	unsigned int failures = 0;

	REQUIRE(cuts);
	for (size_t i = 0; i < count; i++)
		cuts[i] = (struct delivery){.cut = i + 1, .late = late};
	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		failures += !talk_check(scene, transport, talk, cuts, count);
	free(cuts);
	return failures;
}

static unsigned int deliver_all_cut(struct scene *scene, bool late)
{
	unsigned int failures = 0;

	for (size_t i = 0; i < TALKS; i++)
		failures += deliver_cut(scene, &talks[i], late);
	return failures;
}

static void each_talk_is_counted_when_cut_at_every_byte(void **state)
{
	assert_int_equal(deliver_all_cut(*state, false), 0);
}

static void each_talk_is_counted_when_cut_but_read_at_once(void **state)
{
	assert_int_equal(deliver_all_cut(*state, true), 0);
}

/* --- pipelining ------------------------------------------------------------- */

#define FOUR(x) x x x x
#define SIXTEEN_GETS FOUR(FOUR("GET /pipe HTTP/1.1\r\n\r\n"))
#define SIXTEEN_RESPONSES FOUR(FOUR("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))

static const struct talk sixteen =
    TALK("sixteen pipelined requests", TURNS(C(SIXTEEN_GETS), S(SIXTEEN_RESPONSES)),
	 ROWS({.method = TALLY_METHOD_GET,
	       .status = 200,
	       .route = "/pipe",
	       .requests = 16,
	       .response_bytes = 16}));

static void sixteen_requests_in_one_write_are_sixteen(void **state)
{
	const struct delivery deliveries[] = {
	    {0}, {.write_max = 1}, {.read_max = 1}, {.write_max = 100}};

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		assert_true(talk_check(*state, transport, &sixteen, deliveries, 4));
}

static void sixteen_requests_cut_at_every_byte_are_sixteen(void **state)
{
	unsigned int failures = deliver_cut(*state, &sixteen, false);

	failures += deliver_cut(*state, &sixteen, true);
	assert_int_equal(failures, 0);
}

static void each_of_many_answers_matches_its_own_request(void **state)
{
	const struct talk mixed[] = {
	    TALK("pipelined requests of all kinds",
		 TURNS(C("GET /a HTTP/1.1\r\n\r\n"
			 "POST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
			 "HEAD /c HTTP/1.1\r\n\r\n"
			 "PUT /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "1\r\nx\r\n0\r\n\r\n"
			 "DELETE /e HTTP/1.1\r\n\r\n"
			 "OPTIONS /f HTTP/1.1\r\n\r\n"
			 "TRACE /g HTTP/1.1\r\n\r\n"
			 "PATCH /h HTTP/1.1\r\nContent-Length: 4\r\n\r\nhuhu"),
		       S("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"
			 "HTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\n22"
			 "HTTP/1.1 302 OK\r\nContent-Length: 333\r\n\r\n"
			 "HTTP/1.1 404 OK\r\nContent-Length: 4\r\n\r\n4444"
			 "HTTP/1.1 500 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "5\r\n55555\r\n0\r\n\r\n"
			 "HTTP/1.1 204 OK\r\n\r\n"
			 "HTTP/1.1 405 OK\r\nContent-Length: 7\r\n\r\n7777777"
			 "HTTP/1.1 503 OK\r\nContent-Length: 8\r\n\r\n88888888")),
		 ROWS(ROW(GET, 200, "/a", 0, 1), ROW(POST, 201, "/b", 2, 2),
		      ROW(HEAD, 302, "/c", 0, 0), ROW(PUT, 404, "/d", 1, 4),
		      ROW(DELETE, 500, "/e", 0, 5), ROW(OPTIONS, 204, "/f", 0, 0),
		      ROW(TRACE, 405, "/g", 0, 7), ROW(PATCH, 503, "/h", 4, 8)))};
	const struct delivery repeated[10] = {0};

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		assert_true(talk_check(*state, transport, mixed, repeated, 10));
	assert_int_equal(deliver_cut(*state, mixed, false), 0);
}

/* --- heads and bodies of size ----------------------------------------------- */

#define LARGE 8192

/* A message head of exactly `len` bytes. */
static char *large_head(const char *first_line, const char *last_lines, size_t len)
{
	char *head = malloc(len + 1);
	size_t used = strlen(first_line), rest = strlen(last_lines);

	REQUIRE(head);
	memcpy(head, first_line, used);
	for (size_t line = 0; used + rest < len; line++) {
		size_t room = len - used - rest, size = room < 160 ? room : 80;

		REQUIRE(room >= 8);
		memset(head + used, 'x', size);
		memcpy(head + used, "X-a: ", 5);
		memcpy(head + used + size - 2, "\r\n", 2);
		used += size;
	}
	memcpy(head + used, last_lines, rest + 1);
	return head;
}

static void heads_of_any_size_are_found(void **state)
{
	static const struct delivery deliveries[] = {{0},
						     {.write_max = 1},
						     {.read_max = 1},
						     {.write_max = 256},
						     {.read_max = 255},
						     {.read_max = 64},
						     {.write_max = 4096},
						     {.cut = 8190},
						     {.cut = 8191},
						     {.cut = 8192},
						     {.cut = 8193},
						     {.cut = 257}};
	static const size_t sizes[] = {100, 128, 129, 255,  256,  257,
				       258, 511, 512, 1024, LARGE};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *request = large_head("POST /large HTTP/1.1\r\n",
					   "Content-Length: 3\r\n\r\n", sizes[i]);
		char *response = large_head("HTTP/1.1 200 OK\r\n",
					    "Content-Length: 5\r\n\r\n", sizes[i]);
		const struct turn turns[] = {{CLIENT, SAYS, request, sizes[i]},
					     C("abc"),
					     {SERVER, SAYS, response, sizes[i]},
					     S("hello"),
					     {0}};
		const struct talk talk =
		    TALK("a large head", turns, ROWS(ROW(POST, 200, "/large", 3, 5)));

		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			assert_true(
			    talk_check(*state, transport, &talk, deliveries, 12));
		free(request);
		free(response);
	}
}

/* The header that decides comes first, then kilobytes that do not matter. */
static void a_length_before_a_large_rest_is_kept(void **state)
{
	char *request = large_head("POST /early HTTP/1.1\r\nContent-Length: 3\r\n",
				   "A: b\r\n\r\n", LARGE);
	char *response = large_head("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
				    "A: b\r\n\r\n", LARGE);
	const struct turn turns[] = {{CLIENT, SAYS, request, LARGE},
				     C("abc"),
				     {SERVER, SAYS, response, LARGE},
				     S("5\r\nhello\r\n0\r\n\r\n"),
				     {0}};
	const struct talk talk =
	    TALK("a large rest", turns, ROWS(ROW(POST, 200, "/early", 3, 5)));
	struct delivery cuts[200] = {0};

	for (size_t i = 0; i < 200; i++)
		cuts[i].cut = 1 + i * 83;
	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		assert_true(talk_check(*state, transport, &talk, cuts, 200));
	free(request);
	free(response);
}

/* One header line across several windows, its name at every offset of one. */
static void a_long_header_line_hides_nothing_after_it(void **state)
{
	unsigned int failures = 0;

	for (size_t filler = 1; filler < 600; filler += 7) {
		char text[1024], x[600] = "";
		int len;

		memset(x, 'x', filler);
		len = snprintf(text, sizeof(text),
			       "POST /line HTTP/1.1\r\nCookie: %s\r\n"
			       "Content-Length: 3\r\n\r\nabc",
			       x);
		{
			const struct turn turns[] = {
			    {CLIENT, SAYS, text, (size_t)len}, S(OK_HELLO), {0}};
			const struct talk talk = TALK(
			    "a long line", turns, ROWS(ROW(POST, 200, "/line", 3, 5)));
			const struct delivery deliveries[2] = {{0}, {.read_max = 100}};

			failures += !talk_check(*state, IPV4, &talk, deliveries, 2);
		}
	}
	assert_int_equal(failures, 0);
}

static void bodies_of_a_megabyte_are_skipped_by_length(void **state)
{
	enum { BODY = 1000000, HEADS = 100 };
	static char request[BODY + HEADS], response[BODY + HEADS];
	size_t request_len = (size_t)sprintf(
	    request, "POST /mega HTTP/1.1\r\nContent-Length: %d\r\n\r\n", BODY);
	size_t response_len = (size_t)sprintf(
	    response, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
	const struct turn turns[] = {{CLIENT, SAYS, request, request_len + BODY},
				     {SERVER, SAYS, response, response_len + BODY},
				     {0}};
	const struct talk talk =
	    TALK("a megabyte", turns, ROWS(ROW(POST, 200, "/mega", BODY, BODY)));
	const struct delivery deliveries[] = {
	    {.write_max = 16384}, {.write_max = 1000}, {.write_max = 50000}};

	for (size_t i = 0; i < BODY / 53; i++) {
		memcpy(request + request_len + i * 53, LOOKS_LIKE_A_REQUEST, 53);
		memcpy(response + response_len + i * 53, LOOKS_LIKE_A_RESPONSE, 44);
	}
	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		assert_true(talk_check(*state, transport, &talk, deliveries, 3));
}

/* Beyond what one event walks; all of it in one write is a case of the ledger. */
static void many_small_chunks_are_one_body(void **state)
{
	enum { CHUNKS = 4000 };
	static char text[CHUNKS * 6 + 100];
	char *end = text + sprintf(text, "HTTP/1.1 200 OK\r\n"
					 "Transfer-Encoding: chunked\r\n\r\n");
	struct turn turns[] = {C(GET("/crumbs")),
			       {SERVER, SAYS, text, 0},
			       C(GET("/after")),
			       S(OK_HELLO),
			       {0}};
	const struct talk talk = TALK(
	    "many chunks", turns,
	    ROWS(ROW(GET, 200, "/crumbs", 0, CHUNKS), ROW(GET, 200, "/after", 0, 5)));
	const struct delivery deliveries[] = {
	    {.write_max = 100}, {.write_max = 6}, {.write_max = 1}};

	for (int i = 0; i < CHUNKS; i++)
		end += sprintf(end, "1\r\nx\r\n");
	end += sprintf(end, "0\r\n\r\n");
	turns[1].len = (size_t)(end - text);
	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		assert_true(talk_check(*state, transport, &talk, deliveries, 3));
}

static void statuses_are_told_apart(void **state)
{
	static const uint16_t codes[] = {
	    200, 201, 202, 206, 299, 300, 301, 302, 307, 400, 401, 403, 404, 405, 409,
	    418, 422, 429, 451, 499, 500, 501, 502, 503, 504, 511, 599, 600, 999};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		char text[64];
		size_t len = (size_t)sprintf(
		    text, "HTTP/1.1 %u X\r\nContent-Length: 1\r\n\r\nx", codes[i]);
		const struct turn turns[] = {
		    C(GET("/status")), {SERVER, SAYS, text, len}, {0}};
		const struct talk talk =
		    TALK("a status", turns, ROWS(ROW(GET, codes[i], "/status", 0, 1)));
		const struct delivery whole = {0};

		assert_true(talk_check(*state, IPV4, &talk, &whole, 1));
	}
}

/* --- what is not HTTP ------------------------------------------------------- */

static void other_protocols_count_nothing_and_miss_nothing(void **state)
{
	const struct talk strangers[] = {
	    TALK("Redis", TURNS(C("*1\r\n$4\r\nPING\r\n"), S("+PONG\r\n")), NO_ROWS),
	    TALK("Redis inline", TURNS(C("GET /key\r\n"), S("$-1\r\n")), NO_ROWS),
	    TALK("memcached",
		 TURNS(C("get key\r\n"), S("VALUE key 0 1\r\nx\r\nEND\r\n")), NO_ROWS),
	    TALK("SMTP",
		 TURNS(S("220 mail ESMTP\r\n"), C("EHLO x\r\n"), S("250 HELP\r\n")),
		 NO_ROWS),
	    TALK("SSH", TURNS(S("SSH-2.0-OpenSSH_9.2\r\n"), C("SSH-2.0-x\r\n")),
		 NO_ROWS),
	    TALK("MySQL", TURNS(S("J\0\0\0\n8.0.36\0\1\2"), C("\1\0\0\1\x85\xa6")),
		 NO_ROWS),
	    TALK("PostgreSQL", TURNS(C("\0\0\0\x08\4\xd2\x16/"), S("N")), NO_ROWS),
	    TALK("RTSP",
		 TURNS(C("OPTIONS rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
		       S("RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")),
		 NO_ROWS),
	    TALK("SIP",
		 TURNS(C("OPTIONS sip:a@b SIP/2.0\r\n\r\n"),
		       S("SIP/2.0 200 OK\r\n\r\n")),
		 NO_ROWS),
	    TALK("HTTP/0.9", TURNS(C("GET /old\r\n"), S("<html>")), NO_ROWS),
	    TALK("a version of three digits",
		 TURNS(C("GET / HTTP/1.11\r\n\r\n"), S("no\r\n")), NO_ROWS),
	    TALK("a word of HTTP", TURNS(C("HTTP\r\n"), S("GET\r\n"), C("G"), S("H")),
		 NO_ROWS),
	    TALK("one byte each way", TURNS(C("\0"), S("\0"), C("\xff"), S("\xff")),
		 NO_ROWS),
	};
	const struct delivery deliveries[] = {
	    {0}, {.write_max = 1}, {.read_max = 2}, {.write_max = 3}};
	unsigned int failures = 0;

	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			failures += !talk_check(*state, transport, &strangers[i],
						deliveries, 4);
	assert_int_equal(failures, 0);
}

/* xorshift: the same bytes each time, and the seed is in the test. */
static void fill_randomly(char *bytes, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		bytes[i] = (char)(seed >> 32);
	}
}

static void random_bytes_count_nothing_and_miss_nothing(void **state)
{
	static char bytes[4096];

	for (uint64_t seed = 1; seed <= 200; seed++) {
		const struct turn turns[] = {
		    {CLIENT, SAYS, bytes, 1 + seed * 7 % 300},
		    {SERVER, SAYS, bytes + 300, 1 + seed % 900},
		    {CLIENT, SAYS, bytes + 1200, 2000},
		    {0}};
		const struct talk talk = TALK("random bytes", turns, NO_ROWS);
		const struct delivery deliveries[2] = {{0}, {.write_max = 37}};

		fill_randomly(bytes, sizeof(bytes), seed * 0x9e3779b97f4a7c15ull);
		if (!talk_check(*state, seed % TRANSPORTS, &talk, deliveries, 2))
			fail_msg("seed %lu", seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_talk_is_counted_when_it_comes_whole),
	    cmocka_unit_test(a_proxys_preamble_is_no_request),
	    cmocka_unit_test(each_talk_is_counted_when_repeated_on_its_connection),
	    cmocka_unit_test(each_talk_is_counted_byte_by_byte),
	    cmocka_unit_test(each_talk_is_counted_when_cut_at_every_byte),
	    cmocka_unit_test(each_talk_is_counted_when_cut_but_read_at_once),
	    cmocka_unit_test(sixteen_requests_in_one_write_are_sixteen),
	    cmocka_unit_test(sixteen_requests_cut_at_every_byte_are_sixteen),
	    cmocka_unit_test(each_of_many_answers_matches_its_own_request),
	    cmocka_unit_test(heads_of_any_size_are_found),
	    cmocka_unit_test(a_length_before_a_large_rest_is_kept),
	    cmocka_unit_test(a_long_header_line_hides_nothing_after_it),
	    cmocka_unit_test(bodies_of_a_megabyte_are_skipped_by_length),
	    cmocka_unit_test(many_small_chunks_are_one_body),
	    cmocka_unit_test(statuses_are_told_apart),
	    cmocka_unit_test(other_protocols_count_nothing_and_miss_nothing),
	    cmocka_unit_test(random_bytes_count_nothing_and_miss_nothing),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
