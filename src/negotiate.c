/* SPDX-License-Identifier: Apache-2.0 */
#include "negotiate.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "length.h"
#include "slice.h"

#define QUALITY_ONE 1000 /* q in thousandths: RFC 9110 gives it three digits */

/* One element of an Accept or Accept-Encoding list. */
struct clause {
	struct slice value;
	/* of these parameters text is NULL where there is none */
	struct slice version, proto, encoding;
	int quality;
};

/* How a clause stands to a format, the more specific the higher: of several that
 * match, the most specific decides (RFC 9110 section 12.5.1). */
enum match { MATCH_NONE, MATCH_ANY, MATCH_TYPE, MATCH_NAMED, MATCH_VERSION };

/* What a list says of one format. */
struct preference {
	enum match match;
	int quality; /* 0: not wanted */
	size_t position;
};

/* Types, codings and names of parameters have no case (RFC 9110). */
static bool is_token(struct slice slice, const char *token)
{
	return slice.len == strlen(token) && !strncasecmp(slice.text, token, slice.len);
}

/* Cuts the next part off rest, at a separator outside a quoted string. False
 * when rest has been used up (text is NULL then). */
static bool next_part(struct slice *rest, char separator, struct slice *ret_part)
{
	bool quoted = false;
	size_t i;

	if (!rest->text)
		return false;
	for (i = 0; i < rest->len; i++) {
		char c = rest->text[i];

		if (c == '"')
			quoted = !quoted;
		else if (quoted && c == '\\')
			i++;
		else if (!quoted && c == separator)
			break;
	}
	if (i >= rest->len) {
		*ret_part = slice_trimmed(*rest);
		*rest = (struct slice){0};
		return true;
	}
	*ret_part = slice_trimmed((struct slice){rest->text, i});
	rest->text += i + 1;
	rest->len -= i + 1;
	return true;
}

/* qvalue of RFC 9110 section 12.4.2, and ".5", which Go clients may send.
 * Digits after the third do not count. */
static bool parse_quality(struct slice value, int *ret_quality)
{
	int quality = 0, unit = QUALITY_ONE;
	bool digits = false, point = false;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.text[i];

		if (c == '.' && !point) {
			point = true;
			unit /= 10;
			continue;
		}
		if (c < '0' || c > '9' || (digits && !point))
			return false;
		digits = true;
		quality += (c - '0') * unit;
		if (point)
			unit /= 10;
	}
	if (!digits || quality > QUALITY_ONE)
		return false;
	*ret_quality = quality;
	return true;
}

static struct slice unquoted(struct slice slice)
{
	if (slice.len >= 2 && slice.text[0] == '"' && slice.text[slice.len - 1] == '"')
		return (struct slice){slice.text + 1, slice.len - 2};
	return slice;
}

/* Parameters we do not know (charset, escaping) ask for nothing we vary in. A
 * quality that is none makes the clause unusable: it cannot be ranked. */
static bool parse_clause(struct slice text, struct clause *ret_clause)
{
	struct clause clause = {.quality = QUALITY_ONE};
	struct slice parameter, name;

	next_part(&text, ';', &clause.value);
	while (next_part(&text, ';', &parameter)) {
		struct slice value = parameter;

		next_part(&value, '=', &name);
		if (!value.text)
			continue;
		value = unquoted(slice_trimmed(value));
		if (is_token(name, "version"))
			clause.version = value;
		else if (is_token(name, "proto"))
			clause.proto = value;
		else if (is_token(name, "encoding"))
			clause.encoding = value;
		else if (is_token(name, "q") && !parse_quality(value, &clause.quality))
			return false;
	}
	*ret_clause = clause;
	return true;
}

static bool next_clause(struct slice *rest, struct clause *ret_clause)
{
	struct slice text;

	while (next_part(rest, ',', &text)) {
		if (text.len && parse_clause(text, ret_clause))
			return true;
	}
	return false;
}

static struct slice list_of(const char *header)
{
	return (struct slice){header, header ? strlen(header) : 0};
}

/* text/plain 1.0.0 differs from 0.0.4 only where names need quotes; ours do
 * not. */
static bool has_version(struct slice version, enum exposition_format format)
{
	if (is_token(version, "1.0.0"))
		return true;
	return format == EXPOSITION_TEXT && is_token(version, "0.0.4");
}

/* As client_golang: there are other messages and other encodings of this type. */
static enum match match_protobuf(const struct clause *clause)
{
	bool is_ours = is_token(clause->value, "application/vnd.google.protobuf") &&
		       is_token(clause->proto, "io.prometheus.client.MetricFamily") &&
		       is_token(clause->encoding, "delimited");

	return is_ours ? MATCH_VERSION : MATCH_NONE;
}

/* A type without a version is the version we have. */
static enum match match_format(const struct clause *clause,
			       enum exposition_format format)
{
	bool openmetrics = format == EXPOSITION_OPENMETRICS;

	if (format == EXPOSITION_PROTOBUF)
		return match_protobuf(clause);
	if (is_token(clause->value, "*/*"))
		return MATCH_ANY;
	if (is_token(clause->value, openmetrics ? "application/*" : "text/*"))
		return MATCH_TYPE;
	if (!is_token(clause->value,
		      openmetrics ? "application/openmetrics-text" : "text/plain"))
		return MATCH_NONE;
	if (!clause->version.text)
		return MATCH_NAMED;
	return has_version(clause->version, format) ? MATCH_VERSION : MATCH_NONE;
}

/* Of equally specific clauses (two versions that we both take) the better one. */
static struct preference preference_for(const char *accept,
					enum exposition_format format)
{
	struct preference best = {.match = MATCH_NONE};
	struct slice rest = list_of(accept);
	struct clause clause;

	for (size_t i = 0; next_clause(&rest, &clause); i++) {
		enum match match = match_format(&clause, format);

		if (match > best.match ||
		    (match && match == best.match && clause.quality > best.quality))
			best = (struct preference){match, clause.quality, i};
	}
	return best;
}

enum exposition_format negotiate_format(const char *accept)
{
	/* In this order: one wildcard for several is text. */
	static const enum exposition_format formats[] = {
	    EXPOSITION_TEXT, EXPOSITION_OPENMETRICS, EXPOSITION_PROTOBUF};
	enum exposition_format best_format = EXPOSITION_TEXT;
	struct preference best = {.quality = 0};

	for (size_t i = 0; i < LENGTH(formats); i++) {
		struct preference other = preference_for(accept, formats[i]);

		if (other.quality > best.quality ||
		    (other.quality && other.quality == best.quality &&
		     other.position < best.position)) {
			best = other;
			best_format = formats[i];
		}
	}
	return best_format;
}

bool negotiate_gzip(const char *accept_encoding)
{
	int gzip = -1, identity = -1, any = -1; /* -1: not listed */
	struct slice rest = list_of(accept_encoding);
	struct clause clause;

	while (next_clause(&rest, &clause)) {
		/* RFC 9110 section 8.4.1.3: x-gzip is the same coding. */
		if (is_token(clause.value, "gzip") || is_token(clause.value, "x-gzip"))
			gzip = clause.quality;
		else if (is_token(clause.value, "identity"))
			identity = clause.quality;
		else if (is_token(clause.value, "*"))
			any = clause.quality;
	}
	if (gzip < 0)
		gzip = any;
	if (identity < 0)
		identity = any;
	return gzip > 0 && gzip >= identity;
}
