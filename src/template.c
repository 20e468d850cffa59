/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "letters.h"

#define GROUPS_MAX 100000000 /* where Go stops to read a number */
#define NO_GROUP (-1)
#define NAME_LEN_MAX 128 /* PCRE2's limit: 32, then 128 since 10.44 */

/* A group, after so much text that stands for itself. */
struct piece {
	size_t len;
	int group;
};

struct template
{
	char *text; /* of all pieces, without what named the groups */
	size_t text_len;
	struct piece *pieces; /* behind the last one text may follow */
	size_t count;
};

void template_free(struct template **template)
{
	if (!*template)
		return;
	free((*template)->text);
	free((*template)->pieces);
	free(*template);
	*template = NULL;
}

/* "0" to "99999999", without zeros in front. */
static int group_number(struct slice name)
{
	int number = 0;

	if (*name.text == '0' && name.len > 1)
		return NO_GROUP;
	for (size_t i = 0; i < name.len; i++) {
		if (name.text[i] < '0' || name.text[i] > '9' || number >= GROUPS_MAX)
			return NO_GROUP;
		number = number * 10 + (name.text[i] - '0');
	}
	return number;
}

static int find_group(const struct pattern *pattern, struct slice name)
{
	int number = group_number(name);
	char copy[NAME_LEN_MAX + 1] = "";

	if (number != NO_GROUP || name.len > NAME_LEN_MAX)
		return number;
	memcpy(copy, name.text, name.len);
	return pattern_group(pattern, copy);
}

/* The name behind a '$' at text; the length of all of it, 0 when that is none. */
static size_t take_name(const char *text, struct slice *ret_name)
{
	size_t brace = *text == '{', len = letters_word_len(text + brace);

	if (!len || (brace && text[1 + len] != '}'))
		return 0;
	*ret_name = (struct slice){.text = text + brace, .len = len};
	return len + 2 * brace;
}

static void parse(struct template *template, const char *text,
		  const struct pattern *pattern)
{
	char *out = template->text, *from = out;

	while (*text) {
		struct slice name;
		size_t len = *text == '$' ? take_name(text + 1, &name) : 0;

		if (!len) {
			*out++ = *text;
			text += text[0] == '$' && text[1] == '$' ? 2 : 1;
			continue;
		}
		template->pieces[template->count++] = (struct piece){
		    .len = (size_t)(out - from), .group = find_group(pattern, name)};
		from = out;
		text += 1 + len;
	}
	*out = '\0';
	template->text_len = (size_t)(out - template->text);
}

struct template *template_create(const char *text, const struct pattern *pattern)
{
	CLEANUP(template_free) struct template *template = calloc(1, sizeof(*template));
	size_t dollars = 1;

	for (const char *at = text; (at = strchr(at, '$')); at++)
		dollars++;
	if (!template)
		return NULL;
	template->text = malloc(strlen(text) + 1);
	template->pieces = calloc(dollars, sizeof(*template->pieces));
	if (!template->text || !template->pieces)
		return NULL;
	parse(template, text, pattern);
	return TAKE(template);
}

const char *template_constant(const struct template *template)
{
	return template->count ? NULL : template->text;
}

static size_t append(char *ret_text, size_t room, size_t len, struct slice piece)
{
	if (len + piece.len < room)
		memcpy(ret_text + len, piece.text, piece.len);
	return len + piece.len;
}

size_t template_expand(const struct template *template, const struct pattern *pattern,
		       struct slice text, char *ret_text, size_t room)
{
	struct slice rest = {.text = template->text, .len = template->text_len};
	size_t len = 0;

	for (size_t i = 0; i < template->count; i++) {
		struct piece piece = template->pieces[i];

		len = append(ret_text, room, len,
			     (struct slice){.text = rest.text, .len = piece.len});
		len = append(ret_text, room, len,
			     pattern_span(pattern, text, piece.group));
		rest.text += piece.len;
		rest.len -= piece.len;
	}
	len = append(ret_text, room, len, rest);
	if (len < room)
		ret_text[len] = '\0';
	return len;
}
