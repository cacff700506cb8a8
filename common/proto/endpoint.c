/* Numbers of unix sockets: `deliver`, `route` in order, `auth dovecot`, `milter`
 * in order.  Floor 1. */
#include "common/proto/endpoint.h"

#include "common/base/err.h"

struct hb_span
hb_endpoint_unix(struct hb_span text)
{
	static const struct hb_span prefixes[] = {
		{ (const unsigned char *)"unix:", 5 },
		{ (const unsigned char *)"lmtp:", 5 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(prefixes); i++)
		if (hb_span_has_prefix_nocase(text, prefixes[i])) {
			text = hb_span_from(text, prefixes[i].n);
			break;
		}
	if (text.n < 2 || text.p[0] != '/' || text.p[1] == '/')
		return HB_SPAN_NONE;
	return text;
}

/* Candidate AT: 0 is `deliver`, then routes, `auth`, filters; false past the
 * end. */
static bool
candidate(const struct hb_conf *c, size_t at, struct hb_span *path)
{
	*path = HB_SPAN_NONE;
	if (at == 0 && c->deliver.kind == HB_DELIVER_LMTP)
		*path = hb_endpoint_unix(hb_span_str(c->deliver.arg));
	if (at-- == 0)
		return true;
	if (at < c->route.n)
		*path = hb_endpoint_unix(hb_span_str(c->route.v[at].route));
	else if (at == c->route.n)
		*path = hb_endpoint_unix(hb_span_str(c->auth.dovecot));
	else if (at - c->route.n > c->milters.n)
		return false;
	else
		*path = hb_span_str(c->milters.v[at - c->route.n - 1].path);
	return true;
}

int
hb_endpoint_path(const struct hb_conf *c, unsigned index,
    struct hb_span *path)
{
	unsigned n = 0;

	for (size_t at = 0; candidate(c, at, path); at++)
		if (path->n > 0 && n++ == index)
			return 0;
	return HB_E_NOTFOUND;
}

int
hb_endpoint_find(const struct hb_conf *c, struct hb_span path,
    unsigned *index)
{
	struct hb_span have;

	for (*index = 0; hb_endpoint_path(c, *index, &have) == 0; ++*index)
		if (hb_span_eq(have, path))
			return 0;
	return HB_E_NOTFOUND;
}

bool
hb_endpoint_is_filter(const struct hb_conf *c, unsigned index)
{
	struct hb_span path;

	if (hb_endpoint_path(c, index, &path) < 0)
		return false;
	for (size_t i = 0; i < c->milters.n; i++)
		if (hb_span_eq(hb_span_str(c->milters.v[i].path), path))
			return true;
	return false;
}
