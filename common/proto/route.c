/* Routes as text and as values.  Floor 1. */
#include "common/proto/route.h"

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/proto/netaddr.h"
#include "common/proto/status.h"

static const struct {
	const char *prefix;
	uint16_t port;
} kinds[] = {
#define X(sym, prefix, port) [HB_ROUTE_##sym] = { prefix, port },
	HB_ROUTES(X)
#undef X
};

static bool
is_host_name(struct hb_span s)
{
	size_t label = 0;

	if (s.n == 0 || s.n > HB_MAX_DOMAIN)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if ((!hb_is_alnum(c) && c != '-' && c != '_') ||
		    ++label > HB_MAX_LABEL)
			return false;
	}
	return label > 0;
}

/* HOST[:PORT] behind "//". */
static int
parse_host(struct hb_span s, struct hb_route *out)
{
	struct hb_netaddr addr;
	uint64_t port = 0;
	size_t end = s.n > 0 && s.p[0] == '[' ? hb_span_find(s, ']') + 1
					      : hb_span_find(s, ':');
	struct hb_span host = hb_span_head(s, end);
	struct hb_span rest = hb_span_from(s, end);

	if (rest.n > 0) {
		if (rest.p[0] != ':' ||
		    hb_span_u64(hb_span_from(rest, 1), 65535, &port) < 0 ||
		    port == 0)
			return HB_E_SYNTAX;
	}
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		host = hb_span(host.p + 1, host.n - 2);
		if (hb_netaddr_parse(host, &addr) < 0)
			return HB_E_SYNTAX;
		out->literal = true;
	} else {
		out->literal = hb_netaddr_parse(host, &addr) == 0;
		if (!out->literal && !is_host_name(host))
			return HB_E_SYNTAX;
	}
	if (host.n > 0 && host.p[host.n - 1] == '.')
		return HB_E_SYNTAX;
	out->host = host;
	out->port = (uint16_t)port;
	return 0;
}

static int
parse_error(struct hb_span s, struct hb_route *out)
{
	struct hb_span rest = s;

	out->status = hb_span_cut(&rest, ' ');
	out->rest = rest;
	return hb_status_is_valid(out->status) && out->status.p[0] != '2'
	    ? 0
	    : HB_E_SYNTAX;
}

static int
parse_file(struct hb_span s, struct hb_route *out)
{
	size_t at = s.n;

	/* The path may hold '@'; an account name may not. */
	while (at > 0 && s.p[at - 1] != '@')
		at--;
	if (at < 2 || s.p[0] != '/' || at == s.n)
		return HB_E_SYNTAX;
	out->rest = hb_span_head(s, at - 1);
	out->user = hb_span_from(s, at);
	return 0;
}

static int
parse_rest(struct hb_span s, struct hb_route *out)
{
	switch (out->kind) {
	case HB_ROUTE_MX:
		return parse_host(s, out) < 0 || out->literal || out->port != 0
		    ? HB_E_SYNTAX : 0;
	case HB_ROUTE_SMTP:
	case HB_ROUTE_SMTP_TLS:
	case HB_ROUTE_SMTPS:
	case HB_ROUTE_LMTP:
		return parse_host(s, out);
	case HB_ROUTE_LMTP_UNIX:
		out->rest = s;
		return s.n > 0 && s.p[0] != ':' ? 0 : HB_E_SYNTAX;
	case HB_ROUTE_LOCAL:
		out->user = s;
		return s.n > 0 ? 0 : HB_E_SYNTAX;
	case HB_ROUTE_FILE:
		return parse_file(s, out);
	case HB_ROUTE_PIPE:
		out->user = hb_span_cut(&s, ':');
		out->rest = s;
		return out->user.n > 0 && s.n > 0 ? 0 : HB_E_SYNTAX;
	case HB_ROUTE_ERROR:
		return parse_error(s, out);
	case HB_ROUTE_DISCARD:
		return s.n == 0 ? 0 : HB_E_SYNTAX;
	case HB_ROUTE_COUNT:
		break;
	}
	return HB_E_SYNTAX;
}

int
hb_route_parse(struct hb_span s, struct hb_route *out)
{
	if (s.n > HB_MAX_ROUTE)
		return HB_E_RANGE;
	if (s.n > 0 && memchr(s.p, 0, s.n) != NULL)
		return HB_E_SYNTAX;
	for (size_t i = 0; i < HB_ARRAY_LEN(kinds); i++) {
		struct hb_span prefix = hb_span_str(kinds[i].prefix);

		if (!hb_span_has_prefix_nocase(s, prefix))
			continue;
		*out = (struct hb_route){ .kind = (enum hb_route_kind)i };
		return parse_rest(hb_span_from(s, prefix.n), out);
	}
	return HB_E_SYNTAX;
}

static int
format_host(const struct hb_route *r, struct hb_buf *out)
{
	bool six = hb_span_find(r->host, ':') < r->host.n;
	int e = six ? hb_buf_putc(out, '[') : 0;

	if (e == 0)
		e = hb_buf_put(out, r->host);
	if (e == 0)
		hb_buf_lower(out, out->n - r->host.n);
	if (six && e == 0)
		e = hb_buf_putc(out, ']');
	if (r->port != 0 && r->port != kinds[r->kind].port && e == 0)
		e = hb_buf_printf(out, ":%u", r->port);
	return e;
}

/* A, SEP (nothing when 0), B. */
static int
format_two(struct hb_buf *out, struct hb_span a, unsigned char sep,
    struct hb_span b)
{
	int e = hb_buf_put(out, a);

	if (e == 0 && sep != 0)
		e = hb_buf_putc(out, sep);
	return e < 0 ? e : hb_buf_put(out, b);
}

int
hb_route_format(const struct hb_route *r, struct hb_buf *out)
{
	int e = hb_buf_put(out, hb_span_str(kinds[r->kind].prefix));

	if (e < 0)
		return e;
	switch (r->kind) {
	case HB_ROUTE_MX:
	case HB_ROUTE_SMTP:
	case HB_ROUTE_SMTP_TLS:
	case HB_ROUTE_SMTPS:
	case HB_ROUTE_LMTP:
		return format_host(r, out);
	case HB_ROUTE_LMTP_UNIX:
		return hb_buf_put(out, r->rest);
	case HB_ROUTE_LOCAL:
		return hb_buf_put(out, r->user);
	case HB_ROUTE_FILE:
		return format_two(out, r->rest, '@', r->user);
	case HB_ROUTE_PIPE:
		return format_two(out, r->user, ':', r->rest);
	case HB_ROUTE_ERROR:
		return format_two(out, r->status, ' ', r->rest);
	case HB_ROUTE_DISCARD:
	case HB_ROUTE_COUNT:
		break;
	}
	return 0;
}

bool
hb_route_is_remote(enum hb_route_kind k)
{
	return k <= HB_ROUTE_LMTP_UNIX;
}
