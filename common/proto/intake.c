/* Checks of an envelope.  Floor 1. */
#include "common/proto/intake.h"

#include "common/base/err.h"
#include "common/proto/address.h"
#include "common/proto/route.h"
#include "common/proto/xtext.h"

bool
hb_intake_is_text(struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

bool
hb_intake_is_path(struct hb_span s)
{
	struct hb_addr a;

	return hb_addr_parse(s, HB_ADDR_NULL | HB_ADDR_LOCAL | HB_ADDR_UTF8,
	    &a) == 0;
}

bool
hb_intake_is_orcpt(struct hb_span s)
{
	struct hb_span rest = s, type = hb_span_cut(&rest, ';');

	for (size_t i = 0; i < type.n; i++)
		if (!hb_is_alnum(type.p[i]) && type.p[i] != '-')
			return false;
	return s.n == 0 ||
	    (type.n > 0 && rest.n > 0 && hb_xtext_is_valid(rest));
}

/* FROM, a mailbox, as *TO in canonical form. */
static int
keep_path(struct hb_span from, unsigned take, struct hb_arena *a,
    struct hb_span *to, uint32_t *flags)
{
	struct hb_buf canonical = HB_BUF_INIT(HB_MAX_PATH);
	struct hb_addr addr;
	int r = hb_addr_parse(from, take | HB_ADDR_UTF8, &addr);

	/* RFC 5321 s4.5.1: one name needs no domain */
	if (r == 0 && from.n > 0 && addr.domain.n == 0 &&
	    !hb_addr_is_postmaster(addr.local))
		r = HB_E_SYNTAX;
	if (r == 0)
		r = hb_addr_format(&addr, &canonical);
	if (r == 0) {
		*to = hb_arena_span(a, hb_buf_span(&canonical));
		*flags |= addr.utf8 ? HB_ENV_SMTPUTF8 : 0;
	}
	hb_buf_free(&canonical);
	return r == HB_E_LIMIT ? HB_E_RANGE : r;
}

int
hb_intake_env(struct hb_env *e, struct hb_arena *a)
{
	struct hb_span *texts[] = { &e->envid, &e->client, &e->helo, &e->user,
		&e->with, &e->tls, &e->mail_auth, &e->message_id,
		&e->held_for };

	for (size_t i = 0; i < HB_ARRAY_LEN(texts); i++)
		if (!hb_intake_is_text(*texts[i]))
			return HB_E_SYNTAX;
	if (!hb_xtext_is_valid(e->envid))
		return HB_E_SYNTAX;
	hb_record_copy(a, &hb_env_record, e, e);
	return keep_path(e->sender, HB_ADDR_NULL, a, &e->sender, &e->flags);
}

int
hb_intake_rcpt(const struct hb_rcpt *in, struct hb_arena *a,
    struct hb_rcpt *out, uint32_t *flags)
{
	*out = (struct hb_rcpt){ .notify = in->notify };
	/* RFC 3461 s4.1: NEVER stands alone */
	if ((in->notify & HB_NOTIFY_NEVER) != 0)
		out->notify = HB_NOTIFY_NEVER;
	if (!hb_intake_is_orcpt(in->orcpt))
		return HB_E_SYNTAX;
	out->orcpt = hb_arena_span(a, in->orcpt);
	return keep_path(in->address, HB_ADDR_LOCAL, a, &out->address, flags);
}

static bool
is_mailbox(struct hb_span route)
{
	struct hb_route r;

	return hb_intake_is_text(route) && hb_route_parse(route, &r) == 0 &&
	    r.kind == HB_ROUTE_LOCAL && hb_span_find(r.user, '/') == r.user.n;
}

int
hb_intake_moved_rcpt(const struct hb_rcpt *in, struct hb_arena *a,
    struct hb_rcpt *out, uint32_t *flags)
{
	int r = hb_intake_rcpt(in, a, out, flags);

	out->flags = in->flags & HB_RCPT_LIST;
	if (r == 0 && in->original.n > 0)
		r = keep_path(in->original, HB_ADDR_LOCAL, a, &out->original,
		    flags);
	if (r == 0 && in->owner.n > 0)
		r = keep_path(in->owner, HB_ADDR_LOCAL, a, &out->owner, flags);
	if (r < 0 || (in->flags & HB_RCPT_EXPANDED) == 0 ||
	    !is_mailbox(in->route))
		return r;
	out->flags |= HB_RCPT_EXPANDED;
	out->route = hb_arena_span(a, in->route);
	return 0;
}
