/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_route.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "secret.h"

#define HOST_LEN 256
#define REDIRECTS_MAX 10

static int set_text(CURL *easy, CURLoption option, const char *text)
{
	return !text || !curl_easy_setopt(easy, option, text) ? 0 : -ENOMEM;
}

static int set_number(CURL *easy, CURLoption option, long number)
{
	return curl_easy_setopt(easy, option, number) ? -EINVAL : 0;
}

static void free_url(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void free_text(char **text)
{
	curl_free(*text);
}

/* curl takes the name to ask for (SNI) and to verify from the url, so that gets
 * the server's name; the connection still goes to the url's host, and so says
 * its Host header. */
static int set_server_name(struct route *route, CURL *easy, const char *name,
			   CURLU *url)
{
	CLEANUP(free_text) char *host = NULL, *port = NULL, *changed = NULL;
	char connect_to[3 * HOST_LEN];
	bool has_port = !curl_url_get(url, CURLUPART_PORT, &port, 0);

	if (curl_url_get(url, CURLUPART_HOST, &host, 0) || strlen(host) > HOST_LEN ||
	    curl_url_set(url, CURLUPART_HOST, name, 0) ||
	    curl_url_get(url, CURLUPART_URL, &changed, 0))
		return -EINVAL;
	snprintf(connect_to, sizeof(connect_to), "%s::%s:", name, host);
	curl_easy_setopt(easy, CURLOPT_CONNECT_TO, NULL);
	curl_slist_free_all(route->connect_to);
	route->connect_to = curl_slist_append(NULL, connect_to);
	if (!route->connect_to)
		return -ENOMEM;
	free(route->host);
	if (asprintf(&route->host, "%s%s%s", host, has_port ? ":" : "",
		     has_port ? port : "") < 0) {
		route->host = NULL;
		return -ENOMEM;
	}
	if (curl_easy_setopt(easy, CURLOPT_CONNECT_TO, route->connect_to))
		return -ENOMEM;
	return set_text(easy, CURLOPT_URL, changed);
}

static int set_target(struct route *route, CURL *easy, const struct config_http *config)
{
	CLEANUP(free_url) CURLU *url = curl_url();

	if (!url)
		return -ENOMEM;
	if (curl_url_set(url, CURLUPART_URL, route->url, 0))
		return -EINVAL;
	if (config->tls.server_name)
		return set_server_name(route, easy, config->tls.server_name, url);
	return set_text(easy, CURLOPT_URL, route->url);
}

/* curl itself does not look at HTTP_PROXY: in a CGI program a client sets it. We are
 * none. */
static const char *environment_proxy(const char *url)
{
	const char *proxy;

	if (strncasecmp(url, "http:", 5))
		return NULL;
	proxy = getenv("http_proxy");
	return proxy ? proxy : getenv("HTTP_PROXY");
}

/* Whoever starts us must not route the token elsewhere by http_proxy, unless the
 * file says so. */
static int set_proxy(const struct route *route, CURL *easy,
		     const struct config_http *config)
{
	int err;

	if (config->proxy_from_environment)
		return set_text(easy, CURLOPT_PROXY, environment_proxy(route->url));
	err = set_text(easy, CURLOPT_PROXY, config->proxy_url ? config->proxy_url : "");
	/* Set, it keeps the variable no_proxy out. */
	if (!err)
		err = set_text(easy, CURLOPT_NOPROXY,
			       config->no_proxy ? config->no_proxy : "");
	return err;
}

static int set_redirects(const struct route *route, CURL *easy,
			 const struct config_http *config)
{
	bool is_secure = !strncasecmp(route->url, "https:", 6);
	int err = set_number(easy, CURLOPT_FOLLOWLOCATION, config->follow_redirects);

	if (!err)
		err = set_number(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	/* A POST that became a GET would be answered, and its body lost. */
	if (!err)
		err = set_number(easy, CURLOPT_POSTREDIR, CURL_REDIR_POST_ALL);
	if (!err)
		err = set_text(easy, CURLOPT_REDIR_PROTOCOLS_STR,
			       is_secure ? "https" : "http,https");
	return err;
}

int route_set(struct route *route, void *easy, const struct config_http *config,
	      const char *url)
{
	char *copy = strdup(url);
	int err;

	if (!copy)
		return -ENOMEM;
	secret_wipe(&route->url);
	route->url = copy;
	err = set_redirects(route, easy, config);
	if (!err)
		err = set_proxy(route, easy, config);
	return err ? err : set_target(route, easy, config);
}

void route_free(struct route *route)
{
	secret_wipe(&route->url);
	curl_slist_free_all(route->connect_to);
	free(route->host);
	*route = (struct route){0};
}

char *client_shown_url(const char *url)
{
	static const CURLUPart hidden[] = {CURLUPART_USER, CURLUPART_PASSWORD,
					   CURLUPART_OPTIONS, CURLUPART_QUERY,
					   CURLUPART_FRAGMENT};
	CLEANUP(free_url) CURLU *parts = curl_url();
	CLEANUP(free_text) char *text = NULL;

	if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0))
		return NULL;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		curl_url_set(parts, hidden[i], NULL, 0);
	if (curl_url_get(parts, CURLUPART_URL, &text, 0))
		return NULL;
	return strdup(text);
}
