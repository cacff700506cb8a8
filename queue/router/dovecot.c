/* Dovecot's authentication protocol.  Floor 2.  See queue/router/dovecot.h. */
#include "queue/router/dovecot.h"

#include "common/base/err.h"
#include "common/proto/base64.h"

enum { USER_MAX = 256 };

static int
on_version(struct rt_dovecot *d, struct hb_span args,
    struct rt_dovecot_answer *a)
{
	d->version = hb_span_eq(hb_span_cut(&args, '\t'), HB_SPAN("1"));
	return d->version ? 0 : HB_E_SYNTAX;
}

static int
on_mech(struct rt_dovecot *d, struct hb_span args,
    struct rt_dovecot_answer *a)
{
	if (hb_span_eq_nocase(hb_span_cut(&args, '\t'), HB_SPAN("PLAIN")))
		d->plain = true;
	return 0;
}

static int
on_done(struct rt_dovecot *d, struct hb_span args,
    struct rt_dovecot_answer *a)
{
	d->ready = d->version && d->plain;
	return d->ready ? 0 : HB_E_SYNTAX;
}

static int
take_id(const struct rt_dovecot *d, struct hb_span *args,
    struct rt_dovecot_answer *a)
{
	uint64_t id;

	if (!d->ready ||
	    hb_span_u64(hb_span_cut(args, '\t'), UINT32_MAX, &id) < 0 ||
	    id == 0)
		return HB_E_SYNTAX;
	a->id = (uint32_t)id;
	return 0;
}

static int
on_ok(struct rt_dovecot *d, struct hb_span args, struct rt_dovecot_answer *a)
{
	if (take_id(d, &args, a) < 0)
		return HB_E_SYNTAX;
	a->found = RT_FOUND;
	while (args.n > 0) {
		struct hb_span word = hb_span_cut(&args, '\t');

		if (hb_span_eq(hb_span_head(word, 5), HB_SPAN("user=")))
			a->user = hb_span_from(word, 5);
	}
	return 0;
}

static int
on_fail(struct rt_dovecot *d, struct hb_span args,
    struct rt_dovecot_answer *a)
{
	if (take_id(d, &args, a) < 0)
		return HB_E_SYNTAX;
	a->found = RT_NOTFOUND;
	while (args.n > 0) {
		struct hb_span word = hb_span_cut(&args, '\t');

		if (hb_span_eq(word, HB_SPAN("temp")) ||
		    hb_span_eq(word, HB_SPAN("code=temp_fail")))
			a->found = RT_TEMP;
	}
	return 0;
}

/* PLAIN is over in one step. */
static int
on_cont(struct rt_dovecot *d, struct hb_span args,
    struct rt_dovecot_answer *a)
{
	return HB_E_SYNTAX;
}

static const struct {
	const char *verb;
	int (*handle)(struct rt_dovecot *d, struct hb_span args,
	    struct rt_dovecot_answer *a);
} verbs[] = {
	{ "VERSION", on_version }, { "MECH", on_mech }, { "DONE", on_done },
	{ "OK", on_ok }, { "FAIL", on_fail }, { "CONT", on_cont },
};

/* Verbs that we do not know (SPID, COOKIE, newer ones) say nothing to us. */
int
rt_dovecot_line(struct rt_dovecot *d, struct hb_span line,
    struct rt_dovecot_answer *a)
{
	struct hb_span args = line, verb = hb_span_cut(&args, '\t');

	*a = (struct rt_dovecot_answer){ .id = 0 };
	for (size_t i = 0; i < HB_ARRAY_LEN(verbs); i++)
		if (hb_span_eq(verb, hb_span_str(verbs[i].verb)))
			return verbs[i].handle(d, args, a);
	return 0;
}

/* \001 and a letter; NUL and what breaks lines are in no login. */
int
rt_dovecot_user(struct hb_span text, struct hb_buf *out)
{
	size_t from = out->n;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = text.p[i];

		if (c == 1 && i + 1 < text.n)
			c = text.p[++i] == '1' ? 1 : '\0';
		if (c < ' ' || c == 127 || out->n - from == USER_MAX)
			return HB_E_SYNTAX;
		hb_buf_add(out, hb_span(&c, 1));
	}
	return out->n > from ? 0 : HB_E_SYNTAX;
}

void
rt_dovecot_hello(uint32_t pid, struct hb_buf *out)
{
	hb_buf_addf(out, "VERSION\t1\t1\nCPID\t%u\n", (unsigned)pid);
}

/* Logins come inside TLS alone: `secured'.  RESP is the last word. */
void
rt_dovecot_ask(uint32_t id, const struct ipc_auth *m, struct hb_buf *out)
{
	struct hb_buf plain = HB_BUF_INIT(0), text = HB_BUF_INIT(0);

	hb_buf_add(&plain, hb_span("", 1));
	hb_buf_add(&plain, m->user);
	hb_buf_add(&plain, hb_span("", 1));
	hb_buf_add(&plain, m->password);
	if (hb_base64_encode(hb_buf_span(&plain), &text) < 0)
		hb_buf_clear(&text);
	hb_buf_addf(out, "AUTH\t%u\tPLAIN\tservice=smtp\tsecured\trip=",
	    (unsigned)id);
	hb_buf_add(out, m->client);
	hb_buf_adds(out, "\tresp=");
	hb_buf_add(out, hb_buf_span(&text));
	hb_buf_adds(out, "\n");
	hb_buf_wipe(&plain);
	hb_buf_wipe(&text);
}
