/* The pure part of local delivery.  Floor 2. */
#include "delivery/local_text.h"

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/timefmt.h"
#include "common/proto/intake.h"

/* May S be one name of a path? */
static bool
is_name(struct hb_span s)
{
	if (s.n == 0 || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '/' || s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static int
put_var(unsigned char c, const struct local_vars *v, bool is_path,
    struct hb_buf *out)
{
	struct hb_span value;

	switch (c) {
	case '%':
		return hb_buf_putc(out, '%');
	case 'h':
		return hb_buf_put(out, v->home);
	case 'u':
		value = v->user;
		break;
	case 'd':
		value = v->domain;
		break;
	case 'a':
		value = v->address;
		break;
	default:
		return HB_E_SYNTAX;
	}
	if (is_path && !is_name(value))
		return HB_E_SYNTAX;
	return hb_buf_put(out, value);
}

int
local_expand(struct hb_span t, const struct local_vars *v, bool is_path,
    struct hb_buf *out)
{
	int r = 0;

	if (t.n > 0 && t.p[0] == '~' && (t.n == 1 || t.p[1] == '/')) {
		r = hb_buf_put(out, v->home);
		t = hb_span_from(t, 1);
	}
	while (t.n > 0 && r == 0) {
		size_t at = hb_span_find(t, '%');

		r = hb_buf_put(out, hb_span_head(t, at));
		if (at == t.n || r < 0)
			break;
		if (at + 1 == t.n)
			return HB_E_SYNTAX;
		r = put_var(t.p[at + 1], v, is_path, out);
		t = hb_span_from(t, at + 2);
	}
	return r;
}

void
local_unique(int64_t now_us, int pid, uint64_t random, const char *host,
    struct hb_buf *out)
{
	hb_buf_addf(out, "%lld.M%06lldP%dR%016llx.",
	    (long long)(now_us / 1000000), (long long)(now_us % 1000000), pid,
	    (unsigned long long)random);
	for (; *host != '\0'; host++)
		if (*host == '/')
			hb_buf_adds(out, "\\057");
		else if (*host == ':')
			hb_buf_adds(out, "\\072");
		else
			hb_buf_addf(out, "%c", *host);
}

bool
local_may_be_head(const struct hb_env *env, const struct hb_rcpt *rcpt)
{
	return hb_intake_is_text(env->sender) &&
	    hb_intake_is_text(rcpt->address);
}

void
local_head(const struct hb_env *env, const struct hb_rcpt *rcpt,
    struct hb_buf *out)
{
	HB_ASSERT(local_may_be_head(env, rcpt));
	hb_buf_adds(out, "Return-Path: <");
	hb_buf_add(out, env->sender);
	hb_buf_adds(out, ">\nDelivered-To: ");
	hb_buf_add(out, rcpt->address);
	hb_buf_adds(out, "\n");
}

void
local_from_line(const struct hb_env *env, int64_t now_ms, struct hb_buf *out)
{
	char t[HB_TIME_RFC5322_SIZE];
	struct hb_span rest, wd, day, mon, year, clock;

	/* "Sun, 22 Nov 2026 02:15:00 +0000" to "Sun Nov 22 02:15:00 2026" */
	hb_time_rfc5322(now_ms, t);
	rest = hb_span_str(t);
	wd = hb_span_head(hb_span_word(&rest), 3);
	day = hb_span_word(&rest);
	mon = hb_span_word(&rest);
	year = hb_span_word(&rest);
	clock = hb_span_word(&rest);
	HB_ASSERT(hb_intake_is_text(env->sender));
	hb_buf_adds(out, "From ");
	/* The line ends at its first blank: a quoted local part may hold one. */
	if (env->sender.n == 0 || hb_span_find(env->sender, ' ') < env->sender.n)
		hb_buf_adds(out, "MAILER-DAEMON");
	else
		hb_buf_add(out, env->sender);
	hb_buf_addf(out, " %.*s %.*s %2.*s %.*s %.*s\n", HB_SPAN_ARG(wd),
	    HB_SPAN_ARG(mon), HB_SPAN_ARG(day), HB_SPAN_ARG(clock), HB_SPAN_ARG(year));
}

void
local_filter_init(struct local_filter *f, bool mbox)
{
	*f = (struct local_filter){ .mbox = mbox };
}

/* The start of a line is decided: gives out what was held back. */
static void
release_start(struct local_filter *f, struct hb_buf *out)
{
	struct hb_span held = hb_span(f->start, f->n_start);

	if (f->mbox && hb_span_eq(held, HB_SPAN("From ")))
		hb_buf_adds(out, ">");
	for (; f->quotes > 0; f->quotes--)
		hb_buf_adds(out, ">");
	hb_buf_add(out, held);
	f->n_start = 0;
	f->in_line = true;
}

/* Holds back as long as the line may still become "From ".  Returns true
 * when C was taken. */
static bool
hold(struct local_filter *f, unsigned char c, struct hb_buf *out)
{
	static const unsigned char from[] = "From ";

	if (f->n_start == 0 && c == '.' && f->quotes == 0 && !f->dot) {
		f->dot = true; /* stuffed: dropped */
		return true;
	}
	if (f->mbox && f->n_start == 0 && c == '>') {
		f->quotes++;
		return true;
	}
	if (f->mbox && c == from[f->n_start]) {
		f->start[f->n_start++] = c;
		if (f->n_start == sizeof(from) - 1)
			release_start(f, out);
		return true;
	}
	release_start(f, out);
	return false;
}

static void
end_line(struct local_filter *f, struct hb_buf *out)
{
	if (!f->in_line)
		release_start(f, out);
	hb_buf_adds(out, "\n");
	f->in_line = f->saw_cr = f->dot = false;
}

/* The rest of a line, up to a CR that may end it.  A bare LF should not be
 * there; as it ends a line in the mailbox, it does so here. */
static size_t
copy_line(struct local_filter *f, struct hb_span in, struct hb_buf *out)
{
	size_t cr = hb_span_find(in, '\r');
	size_t lf = hb_span_find(hb_span_head(in, cr), '\n');

	hb_buf_add(out, hb_span_head(in, lf));
	if (lf == in.n)
		return lf;
	if (lf < cr)
		end_line(f, out);
	else
		f->saw_cr = true;
	return lf + 1;
}

void
local_filter_feed(struct local_filter *f, struct hb_span in,
    struct hb_buf *out)
{
	while (in.n > 0) {
		unsigned char c = in.p[0];
		size_t used = 1;

		if (f->saw_cr) {
			f->saw_cr = false;
			if (c == '\n') {
				end_line(f, out);
			} else {
				hb_buf_adds(out, "\r");
				used = 0;
			}
		} else if (f->in_line) {
			used = copy_line(f, in, out);
		} else if (c == '\r') {
			f->saw_cr = true;
		} else if (!hold(f, c, out)) {
			used = 0;
		}
		in = hb_span_from(in, used);
	}
}

void
local_filter_end(struct local_filter *f, struct hb_buf *out)
{
	if (f->in_line || f->n_start > 0 || f->quotes > 0 || f->saw_cr ||
	    f->dot)
		end_line(f, out);
}
