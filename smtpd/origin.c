/* What DNS says of a client: its name, and whether a zone lists it.
 * Floor 2. */
#include "smtpd/session-priv.h"

#include <stdlib.h>

/* A relay of our own is worth a question when `access' may tell it by name. */
static bool
wants_name(const struct smtpd_session *s)
{
	return s->site->names && s->rules->kind != HB_LISTEN_LMTP &&
	    (s->site->names_decide || !smtpd_is_known(s));
}

static bool
wants_listing(const struct smtpd_session *s)
{
	return s->site->dnsbl && !smtpd_is_known(s);
}

void
smtpd_origin_ask(struct smtpd_session *s)
{
	struct smtpd_origin_wants w = { wants_name(s), wants_listing(s) };

	if (s->origin != NULL || (!w.name && !w.listing))
		return;
	s->origin = HB_NEW(struct smtpd_origin);
	s->origin->is_named = !w.name;
	s->origin->is_judged = !w.listing;
	smtpd_add_act(s, SMTPD_ACT_ORIGIN)->origin = w;
}

struct hb_span
smtpd_origin_name(const struct smtpd_session *s)
{
	return s->origin != NULL ? hb_buf_span(&s->origin->name)
				 : HB_SPAN_NONE;
}

/* RFC 5321 s4.5.1, RFC 2142: who is refused can say so. */
static bool
is_for_complaints(struct hb_span rcpt)
{
	struct hb_span local = hb_span_cut(&rcpt, '@');

	return hb_span_eq_nocase(local, HB_SPAN("postmaster")) ||
	    hb_span_eq_nocase(local, HB_SPAN("abuse"));
}

bool
smtpd_is_stranger_for(const struct smtpd_session *s, struct hb_span rcpt)
{
	return !smtpd_is_known(s) && !is_for_complaints(rcpt);
}

void
smtpd_origin_free(struct smtpd_origin **o)
{
	if (*o == NULL)
		return;
	hb_buf_free(&(*o)->name);
	hb_buf_free(&(*o)->why);
	free(*o);
	*o = NULL;
}
